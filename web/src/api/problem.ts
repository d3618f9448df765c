/** An answer of the server that is not what was asked for: RFC 9457's problem+json. */
export class Refusal extends Error {
  readonly status: number;
  readonly hint: string;

  constructor(status: number, message: string, hint: string) {
    super(message);
    this.status = status;
    this.hint = hint;
  }
}

/** Reads a body that should be problem+json; whatever it is, there is something to say. */
export function refusal(status: number, body: unknown): Refusal {
  const told = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const text = (key: string) => (typeof told[key] === "string" ? told[key] : "");
  const message = text("detail") || text("title") || `The server answered ${status}.`;
  return new Refusal(status, message, text("hint"));
}
