/** JSON Web Tokens signed with HS256, without a library. */
import { createHmac } from "node:crypto";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

export function hs256(secret, claims, header = { alg: "HS256", typ: "JWT" }) {
  const signed = `${part(header)}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** A token that claims to need no signature. */
export function unsigned(claims) {
  return `${part({ alg: "none", typ: "JWT" })}.${part(claims)}.`;
}

/** Seconds since 1970, this many from now. */
export const secondsFromNow = (seconds) => Math.floor(Date.now() / 1000) + seconds;
