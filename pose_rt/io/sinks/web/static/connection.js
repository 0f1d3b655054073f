// The WebSocket to the run: frames in (JSON and JPEG in one message), acknowledgements and requests out, and back again when it breaks.

const RETRY_MS = [500, 1000, 2000, 4000, 5000];
const utf8 = new TextDecoder();

export class Connection {
  // handlers: frame(head, jpeg Blob), hello(message), stats(message), state(name, detail)
  constructor(handlers) {
    this.handlers = handlers;
    this.tries = 0;
    this.ended = false;
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/ws`);
    this.socket.binaryType = "arraybuffer";
    let greeted = false;
    this.socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) {
        this.takeFrame(data);
        return;
      }
      const message = JSON.parse(data);
      if (message.type === "hello") {
        greeted = true;
        this.tries = 0;
        this.handlers.hello(message);
      } else if (message.type === "stats") {
        this.handlers.stats(message);
      } else if (message.type === "end") {
        this.ended = true;
        this.handlers.state("ended", "");
      }
    };
    this.socket.onclose = () => this.retry(greeted);
  }

  async retry(greeted) {
    const wait = RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)];
    if (!this.ended) {
      const refusal = greeted ? "" : await whyRefused();
      this.handlers.state(refusal ? "refused" : "disconnected", refusal);
    }
    setTimeout(() => this.open(), wait);
  }

  takeFrame(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const head = JSON.parse(utf8.decode(new Uint8Array(buffer, 4, length)));
    this.ended = false;
    this.handlers.frame(head, new Blob([new Uint8Array(buffer, 4 + length)], { type: "image/jpeg" }));
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }
}

// A browser does not tell a page why its WebSocket was refused; this does.
async function whyRefused() {
  try {
    const answer = await fetch("/health", { cache: "no-store" });
    return answer.ok ? "" : (await answer.text()).replace(/^pose-rt: /, "").trim();
  } catch {
    return "";
  }
}
