/** Cron expressions as people say them. What is not plain is left as it is written. Pure. */

const DAYS = ["Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays"];
const NAMES = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const ZONE = /^(?:CRON_)?TZ=(\S+)\s+/;
const SAID: Readonly<Record<string, string>> = { "@hourly": "hourly", "@daily": "daily at 00:00", "@midnight": "daily at 00:00", "@weekly": "Sundays at 00:00" };

/** Returns the zone that a schedule names, or nothing: the server's own. */
export function zoneOf(text: string): string {
  return ZONE.exec(text)?.[1] ?? "";
}

export function inWords(text: string): string {
  const zone = zoneOf(text);
  const plain = text.replace(ZONE, "").trim();
  const said = SAID[plain] ?? fields(plain.split(/\s+/));
  if (said === null) return text;
  return zone ? `${said} (${zone})` : said;
}

function fields([minute = "", hour = "", day, month, week = "", more]: readonly string[]): string | null {
  if (more !== undefined || day !== "*" || month !== "*") return null;
  if (hour === "*" && week === "*") return often(minute);
  const every = days(week);
  const at = minute.match(/^\d+$/) && hour.match(/^\d+$/) ? `${hour.padStart(2, "0")}:${minute.padStart(2, "0")}` : null;
  return every && at ? `${every} at ${at}` : null;
}

function often(minute: string): string | null {
  if (minute === "*" || minute === "*/1") return "every minute";
  const step = /^(?:\*|0)\/(\d+)$/.exec(minute)?.[1];
  if (step && 60 % Number(step) === 0) return `every ${step} min`;
  return /^\d+$/.test(minute) ? `hourly at :${minute.padStart(2, "0")}` : null;
}

function days(week: string): string | null {
  if (week === "*") return "daily";
  if (/^(1-5|mon-fri)$/i.test(week)) return "Mon–Fri";
  const all = week.split(",").map((one) => (/^[0-7]$/.test(one) ? Number(one) % 7 : NAMES.indexOf(one.toLowerCase())));
  return all.every((one) => one >= 0) ? all.map((one) => DAYS[one]).join(", ") : null;
}
