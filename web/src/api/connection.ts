import { useEffect, useState, useSyncExternalStore } from "react";

/** Whether the page's streams reach the server. Pure but for who listens. */
export class Connection {
  private readonly down = new Set<object>();
  private readonly heard = new Set<() => void>();

  readonly lost = (): boolean => this.down.size > 0;

  readonly listen = (listener: () => void): (() => void) => {
    this.heard.add(listener);
    return () => this.heard.delete(listener);
  };

  note(stream: object, connected: boolean): void {
    const before = this.lost();
    if (connected) this.down.delete(stream);
    else this.down.add(stream);
    if (before !== this.lost()) for (const listener of this.heard) listener();
  }
}

export const connection = new Connection();
const PATIENCE_MS = 1500; // a server that is only restarted is back before anybody minds

/** Whether the server has been out of reach for a while. */
export function useLost(): boolean {
  const lost = useSyncExternalStore(connection.listen, connection.lost);
  const [shown, setShown] = useState(false);
  useEffect(() => {
    if (!lost) {
      setShown(false);
      return undefined;
    }
    const timer = setTimeout(() => setShown(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [lost]);
  return shown;
}
