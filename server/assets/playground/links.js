/**
 * What frames travel over. A link looks like a `WebSocket`: `readyState`, `send`, `close`, and `onopen`, `onmessage`
 * and `onclose` to be set. The two others of the three are made of a response that does not end, for what comes, and
 * of requests of their own, for what goes: the first frame is part of the request that the response answers, and all
 * later ones name the session that the server's first reply told.
 */
export function openLink({ transport, url, emulation }) {
  if (transport === "http_stream") return new HttpLink(url, emulation, readStream);
  if (transport === "sse") return new HttpLink(url, emulation, readEvents);
  return new WebSocket(url);
}

class HttpLink {
  readyState = WebSocket.OPEN;
  #url;
  #emulation;
  #read;
  #abort = new AbortController();
  #session = null;
  #begun = false;
  /** The requests one after the other, so that frames arrive in order. */
  #sent = Promise.resolve();
  #told = { code: 0, reason: "the stream ended" };
  #hasSession;

  constructor(url, emulation, read) {
    this.#url = url;
    this.#emulation = emulation;
    this.#read = read;
    this.#sent = new Promise((resolve) => (this.#hasSession = resolve));
    queueMicrotask(() => this.readyState === WebSocket.OPEN && this.onopen());
  }

  send(text) {
    if (!this.#begun) {
      this.#begun = true;
      this.#read(this.#url, text, this.#abort.signal, (line) => this.#receive(line))
        .then(() => this.#end(this.#told), (error) => this.#end({ code: 0, reason: error.message }));
      return;
    }
    this.#sent = this.#sent.then(() => this.#post(text));
  }

  close() {
    this.#end({ code: 0, reason: "" });
  }

  async #post(text) {
    if (this.readyState !== WebSocket.OPEN) return;
    const body = JSON.stringify({ ...this.#session, data: text });
    const headers = { "Content-Type": "application/json" };
    try {
      const answer = await fetch(this.#emulation, { method: "POST", headers, body, signal: this.#abort.signal });
      if (!answer.ok) throw new Error(`the server refused a frame: HTTP ${answer.status}`);
    } catch (error) {
      this.#end({ code: 0, reason: error.message });
    }
  }

  #receive(line) {
    if (this.readyState !== WebSocket.OPEN) return;
    const reply = JSON.parse(line);
    if (reply.connect) {
      this.#session = { session: reply.connect.session, node: reply.connect.node };
      this.#hasSession();
    }
    if (reply.push?.disconnect) this.#told = reply.push.disconnect;
    this.onmessage({ data: line });
  }

  #end(why) {
    if (this.readyState === WebSocket.CLOSED) return;
    this.readyState = WebSocket.CLOSED;
    this.#abort.abort();
    this.onclose(why);
  }
}

/** HTTP streaming: a line for each message. */
async function readStream(url, first, signal, receive) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(url, { method: "POST", headers, body: first, signal });
  if (!answer.ok) throw new Error(`no stream: HTTP ${answer.status}`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    lines.forEach(receive);
  }
}

/** Server-sent events: an event for each message. */
function readEvents(url, first, signal, receive) {
  const events = new EventSource(`${url}?cf_connect=${encodeURIComponent(first)}`);
  signal.addEventListener("abort", () => events.close());
  return new Promise((resolve) => {
    events.onmessage = (event) => receive(event.data);
    // It would come back by itself with the first frame of the old session; the client decides that.
    events.onerror = () => {
      events.close();
      resolve();
    };
  });
}
