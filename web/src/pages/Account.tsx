import { Button, PasswordInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { api, got } from "../api/client";
import { useAct } from "../api/act";
import { useSession } from "../api/session";
import { Page } from "../layout/Page";

/** One's own password. */
export default function Account() {
  const me = useSession();
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  const change = useAct(() => got(api.POST("/api/v1/me/password", { body: { old, new: fresh } })), {
    touches: [],
    said: "The password is changed.",
    then: () => {
      setOld("");
      setFresh("");
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    change.mutate(undefined);
  };
  return (
    <Page title={me.name} aside={<span className="chip">{me.role}</span>}>
      <form className="narrow-form" onSubmit={submit}>
        <PasswordInput label="Old password" required autoComplete="current-password" value={old} onChange={(event) => setOld(event.currentTarget.value)} />
        <PasswordInput
          label="New password"
          description="At least 10 characters"
          required
          minLength={10}
          autoComplete="new-password"
          value={fresh}
          onChange={(event) => setFresh(event.currentTarget.value)}
        />
        <Button type="submit" loading={change.isPending}>
          Change the password
        </Button>
      </form>
    </Page>
  );
}
