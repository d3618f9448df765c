import { ActionIcon, Button, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { type ComponentProps, type ReactNode, useState } from "react";
import { Link, useLocation } from "wouter";
import { api, got, type Role } from "../api/client";
import { useLost } from "../api/connection";
import { ME, useMay, useSession } from "../api/session";
import { Icon } from "../parts/Icon";
import { useSay } from "../parts/Say";
import { Keys } from "./Keys";
import { useShortcuts } from "./shortcuts";
import "./shell.css";

interface Place {
  readonly to: string;
  readonly name: string;
  readonly role: Role;
  readonly icon: ComponentProps<typeof Icon>["name"];
  readonly apart?: boolean; // what runs is above, who may do it is below
}

const PLACES: readonly Place[] = [
  { to: "/", name: "DAGs", role: "viewer", icon: "dags" },
  { to: "/runs", name: "Runs", role: "viewer", icon: "list" },
  { to: "/schedules", name: "Schedules", role: "viewer", icon: "clock" },
  { to: "/workspaces", name: "Workspaces", role: "viewer", icon: "servers" },
  { to: "/dead-letters", name: "Dead letters", role: "viewer", icon: "letter" },
  { to: "/tokens", name: "Tokens", role: "operator", icon: "key", apart: true },
  { to: "/users", name: "Users", role: "admin", icon: "people" },
  { to: "/audit", name: "Audit log", role: "admin", icon: "book" },
];

/** What is around every page. */
export function Shell({ children }: { readonly children: ReactNode }) {
  const [open, setOpen] = useState(false);
  const keys = useShortcuts();
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
        <ActionIcon className="keys-button" variant="subtle" color="gray" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)" onClick={keys.show}>
          ?
        </ActionIcon>
        <Scheme />
        <Person />
      </header>
      <Lost />
      <nav id="nav" className="nav" aria-label="Main" data-open={open || undefined} onClick={() => setOpen(false)}>
        <ul>
          {PLACES.map((place) => (
            <PlaceLink key={place.to} place={place} />
          ))}
        </ul>
      </nav>
      <main id="main" className="main" tabIndex={-1}>
        {children}
      </main>
      {keys.shown && <Keys onClose={keys.hide} />}
    </div>
  );
}

function PlaceLink({ place: { to, name, role, icon, apart } }: { readonly place: Place }) {
  const [at] = useLocation();
  const may = useMay(role);
  const inside = to === "/" ? at === "/" || at.startsWith("/dags") : at.startsWith(to);
  if (!may) return null;
  return (
    <li className={apart ? "apart" : undefined}>
      <Link href={to} aria-current={inside ? "page" : undefined}>
        <Icon name={icon} />
        {name}
      </Link>
    </li>
  );
}

/** Said once for all that a page asks for. */
function Lost() {
  const lost = useLost();
  if (!lost) return null;
  return (
    <div className="lost" role="status">
      The server cannot be reached. What is shown may be old; the page goes on by itself.
    </div>
  );
}

function Scheme() {
  // Halting transitions for a moment would need a style element, which the server's policy forbids.
  const { setColorScheme } = useMantineColorScheme({ keepTransitions: true });
  const scheme = useComputedColorScheme("light", { getInitialValueInEffect: false });
  const other = scheme === "dark" ? "light" : "dark";
  return (
    <ActionIcon variant="subtle" color="gray" aria-label={`Use ${other} colours`} onClick={() => setColorScheme(other)}>
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
