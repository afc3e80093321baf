/** JSON Web Tokens with HMAC signatures, without a library. */
import { createHmac } from "node:crypto";

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Signed with HMAC and SHA-256, or with the longer hash that the header names. */
export function hs256(secret, claims, header = { alg: "HS256", typ: "JWT" }) {
  const hash = { HS384: "sha384", HS512: "sha512" }[header.alg] ?? "sha256";
  const signed = `${part(header)}.${part(claims)}`;
  return `${signed}.${createHmac(hash, secret).update(signed).digest("base64url")}`;
}

/** A token that claims to need no signature. */
export function unsigned(claims) {
  return `${part({ alg: "none", typ: "JWT" })}.${part(claims)}.`;
}

/** Seconds since 1970, this many from now. */
export const secondsFromNow = (seconds) => Math.floor(Date.now() / 1000) + seconds;
