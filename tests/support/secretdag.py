"""A folder of Dagu files that are given a secret by every way there is, and whose steps tell what they were given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from support.dagengine import Engine

OF_THE_ENVIRONMENT = 8  # secrets 0 to 7 are variables, the others files
INNER = r"""
params: [{name: GIVEN, default: ''}]
steps:
  - {name: told, command: 'printf "%s\n" "$GIVEN"'}
"""
OUTER = r"""
params: [{name: PLAIN, default: 'plain'}, {name: MADE, default: 'x${SECRET_0}y'}]
env:
  - MADE_OF: 'a${SECRET_1}b'
  - MADE_OF_A_FILE: 'a${SECRET_8}b'
steps:
  - name: plainly
    command: |
      printf '%s\n' "$SECRET_2" "$SECRET_9"
      printf '%s\n' "$MADE" "$MADE_OF" "$MADE_OF_A_FILE" >&2
      printf '%s' "$SECRET_2" | cut -c1-9 | tr -d '\n'; sleep 0.1; printf '%s\n' "$SECRET_2" | cut -c10-
  - name: spelled
    command: |
      printf 'x%s' "$SECRET_3" | base64 -w0; echo
      python3 -c 'import json,os,urllib.parse as u; s=os.environ["SECRET_10"]; print(json.dumps({"a": s}), u.quote(s, safe=""))'
    output: SPELLED
    depends: plainly
  - name: kept
    command: 'printf "%s" "$SECRET_11"'
    output: KEPT
    depends: spelled
  - name: used
    command: 'printf "%s\n" "$KEPT"; printf "%s\n" "$SECRET_4" >&2; exit 3'
    depends: kept
    continue_on: {failure: true}
  - name: asked
    type: http
    command: 'GET http://127.0.0.1:{closed}/${SECRET_12}'
    config:
      timeout: 2
      headers: {Authorization: 'Bearer ${SECRET_5}', X-More: '${SECRET_13}'}
      query: {key: '${SECRET_14}'}
    depends: used
    continue_on: {failure: true}
  - name: unmet
    command: 'true'
    preconditions: [{condition: '${SECRET_6}', expected: 'nothing'}]
    depends: asked
    continue_on: {skipped: true}
  - name: mailed
    type: mail
    config: {from: a@b.example, to: c@d.example, subject: '${SECRET_15}', message: '${SECRET_16}'}
    depends: unmet
    continue_on: {failure: true}
  - name: inner
    run: inner
    params: 'GIVEN="${SECRET_17}"'
    depends: mailed
    continue_on: {failure: true}
  - name: filtered
    type: jq
    config: {raw: true}
    command: '.'
    script: '{"a": "${SECRET_18}"}'
    depends: inner
    continue_on: {failure: true}
  - name: last
    command: 'printf "%s\n" "$SECRET_7"; exit 4'
    depends: filtered
smtp: {host: 127.0.0.1, port: '{closed}', username: me, password: '${SECRET_19}'}
handler_on:
  failure: {command: 'printf "%s\n" "$SECRET_7" "$KEPT"'}
"""


STEPS = {
    "plainly": "succeeded",
    "spelled": "succeeded",
    "kept": "succeeded",
    "used": "failed",
    "asked": "failed",
    "unmet": "skipped",
    "mailed": "failed",
    "inner": "succeeded",
    "filtered": "failed",
    "last": "failed",
    "(failure)": "succeeded",
}
"""How the steps of `outer` end."""


class SecretiveEngine(Engine):
    """Secrets 0 to 19 as `SECRET_0` to `SECRET_19`: variables of the engine's process, or files in `kept`."""

    def __init__(self, folder: Path, secrets: Mapping[str, str], closed_port: int) -> None:
        super().__init__(folder)
        self.kept = folder / "kept"
        self.kept.mkdir(mode=0o700)
        self._variables = {}
        lines = ["secrets:"]
        for number, value in enumerate(secrets.values()):
            name = f"SECRET_{number}"
            if number < OF_THE_ENVIRONMENT:
                self._variables[name] = value
                lines.append(f"  - {{name: {name}, provider: env, key: {name}}}")
            else:
                (self.kept / name).write_text(value + "\n", "utf-8")
                lines.append(f"  - {{name: {name}, provider: file, key: {json.dumps(str(self.kept / name))}}}")
        self.dag("inner", INNER)
        self.dag("outer", "\n".join(lines) + OUTER.replace("{closed}", str(closed_port)))

    def environment(self, **more: str) -> Mapping[str, str]:
        return super().environment(**self._variables, **more)

    @property
    def kept_files(self) -> frozenset[Path]:
        """The files that hold secrets because they are meant to."""
        return frozenset(self.kept.iterdir())
