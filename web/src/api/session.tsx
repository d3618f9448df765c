import { useQuery } from "@tanstack/react-query";
import { type ReactNode, createContext, useContext } from "react";
import { type Me, type Role, api, got } from "./client";
import { Refusal } from "./problem";

export const ME = ["me"];
const RANK: Readonly<Record<Role, number>> = { viewer: 0, operator: 1, admin: 2 };
const Session = createContext<Me | null>(null);

/** Who is logged in; null: nobody. */
export function useMe() {
  return useQuery({
    queryKey: ME,
    queryFn: async (): Promise<Me | null> => {
      try {
        return await got(api.GET("/api/v1/me"));
      } catch (error) {
        if (error instanceof Refusal && error.status === 401) return null;
        throw error;
      }
    },
    staleTime: 60_000,
  });
}

export function SessionOf({ me, children }: { readonly me: Me; readonly children: ReactNode }) {
  return <Session.Provider value={me}>{children}</Session.Provider>;
}

export function useSession(): Me {
  const me = useContext(Session);
  if (!me) throw new Error("nobody is logged in here");
  return me;
}

/** Whether the person may do what needs this role. The server decides; this only hides what it would refuse. */
export function useMay(role: Role): boolean {
  return RANK[useSession().role] >= RANK[role];
}
