import { ActionIcon, Button, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { Link, useLocation } from "wouter";
import { api, got, type Role } from "../api/client";
import { ME, useMay, useSession } from "../api/session";
import { Icon } from "../parts/Icon";
import { useSay } from "../parts/Say";

const PLACES: readonly { readonly to: string; readonly name: string; readonly role: Role }[] = [
  { to: "/", name: "DAGs", role: "viewer" },
  { to: "/runs", name: "Runs", role: "viewer" },
  { to: "/schedules", name: "Schedules", role: "viewer" },
  { to: "/workspaces", name: "Workspaces", role: "viewer" },
  { to: "/dead-letters", name: "Dead letters", role: "viewer" },
  { to: "/tokens", name: "Tokens", role: "operator" },
  { to: "/users", name: "Users", role: "admin" },
  { to: "/audit", name: "Audit log", role: "admin" },
];

/** What is around every page. */
export function Shell({ children }: { readonly children: ReactNode }) {
  const [open, setOpen] = useState(false);
  return (
    <div className="shell">
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="top">
        <ActionIcon className="nav-button" variant="subtle" aria-label="Menu" aria-expanded={open} aria-controls="nav" onClick={() => setOpen(!open)}>
          <Icon name="menu" />
        </ActionIcon>
        <Link className="brand" href="/">
          provisioning
        </Link>
        <span className="top-space" />
        <Scheme />
        <Person />
      </header>
      <nav id="nav" className="nav" aria-label="Main" data-open={open || undefined} onClick={() => setOpen(false)}>
        <ul>
          {PLACES.map((place) => (
            <Place key={place.to} {...place} />
          ))}
        </ul>
      </nav>
      <main id="main" className="main" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

function Place({ to, name, role }: { readonly to: string; readonly name: string; readonly role: Role }) {
  const [at] = useLocation();
  const may = useMay(role);
  const inside = to === "/" ? at === "/" || at.startsWith("/dags") : at.startsWith(to);
  if (!may) return null;
  return (
    <li>
      <Link href={to} aria-current={inside ? "page" : undefined}>
        {name}
      </Link>
    </li>
  );
}

function Scheme() {
  // Halting transitions for a moment would need a style element, which the server's policy forbids.
  const { setColorScheme } = useMantineColorScheme({ keepTransitions: true });
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  const other = scheme === "dark" ? "light" : "dark";
  return (
    <ActionIcon variant="subtle" aria-label={`Use ${other} colours`} onClick={() => setColorScheme(other)}>
      <Icon name={scheme === "dark" ? "sun" : "moon"} />
    </ActionIcon>
  );
}

function Person() {
  const me = useSession();
  const client = useQueryClient();
  const { complain } = useSay();
  if (me.by !== "session") return <span className="quiet">{me.name}</span>;
  const leave = async () => {
    try {
      await got(api.POST("/api/v1/logout"));
      client.setQueryData(ME, null);
      client.removeQueries({ predicate: (query) => query.queryKey[0] !== ME[0] });
    } catch (error) {
      complain(error);
    }
  };
  return (
    <>
      <Link className="quiet" href="/account">
        {me.name}
      </Link>
      <Button size="compact-sm" variant="default" onClick={() => void leave()}>
        Log out
      </Button>
    </>
  );
}
