/** The server's HTTP API, as an application backend would call it. */

export async function apiCall(http, key, method, body, headers = {}) {
  const answer = await fetch(`${http}/api/${method}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(key === null ? {} : { "X-API-Key": key }), ...headers },
    // A string goes out as it is, so that a test decides about every byte.
    body: typeof body === "string" ? body : JSON.stringify(body),
    signal: AbortSignal.timeout(15_000),
  });
  const text = await answer.text();
  let json = null;
  try {
    json = JSON.parse(text);
  } catch {
    // Refusals below the API answer in plain text.
  }
  return { status: answer.status, text, json };
}
