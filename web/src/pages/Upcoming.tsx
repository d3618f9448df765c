import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { type Due, api, got } from "../api/client";
import { useNow } from "../parts/now";
import { away, dated } from "../parts/times";
import "./upcoming.css";

const SHOWN = 10;

/** What is due next, of all DAGs, as one looks at a clock. */
export function Upcoming() {
  const now = useNow(true);
  const due = useQuery({
    queryKey: ["schedules", "next"],
    queryFn: () => got(api.GET("/api/v1/schedules/next", { params: { query: { limit: SHOWN * 2 } } })),
    refetchInterval: 30_000,
  });
  // What is past has been started meanwhile.
  const next = (due.data?.due ?? []).filter((one) => Date.parse(one.at) > now).slice(0, SHOWN);
  if (!next.length) return null;
  return (
    <>
      <h2>Due next</h2>
      <ol className="upcoming" tabIndex={0} aria-label="Due next">
        {next.map((one) => (
          <Item key={`${one.name} ${one.kind} ${one.at}`} one={one} now={now} />
        ))}
      </ol>
    </>
  );
}

function Item({ one, now }: { readonly one: Due; readonly now: number }) {
  const [day = "", date = "", month = "", time = ""] = dated(one.at).split(" ");
  const today = new Date(one.at).toDateString() === new Date(now).toDateString();
  return (
    <li>
      <span className="upcoming-time numbers">{time}</span>
      <span className="quiet small">{today ? "today" : `${day} ${date} ${month}`}</span>
      <Link className="one-line" title={one.name} href={`/dags/${encodeURIComponent(one.name)}`}>
        {one.name}
      </Link>
      <span className="quiet small">{`${one.kind === "start" ? "" : `${one.kind}s `}${away(one.at, now)}`}</span>
    </li>
  );
}
