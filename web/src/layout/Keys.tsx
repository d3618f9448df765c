import { Modal } from "@mantine/core";
import { PLACES } from "./shortcuts";

const OTHERS: readonly (readonly [string, string])[] = [
  ["/", "Search on this page"],
  ["↓ ↑", "From row to row of a table"],
  ["Enter", "Open the row; in a log: the next match"],
  ["Esc", "Close a dialog; in a log: end the search"],
  ["?", "This list"],
];

/** Which keys do what. */
export function Keys({ onClose }: { readonly onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title="Keyboard shortcuts">
      <dl className="keys">
        {OTHERS.map(([keys, what]) => (
          <Row key={keys} keys={keys} what={what} />
        ))}
        {Object.entries(PLACES).map(([key, place]) => (
          <Row key={key} keys={`g ${key}`} what={`To ${place.name}`} />
        ))}
      </dl>
    </Modal>
  );
}

function Row({ keys, what }: { readonly keys: string; readonly what: string }) {
  return (
    <>
      <dt>
        {keys.split(" ").map((key) => (
          <kbd key={key}>{key}</kbd>
        ))}
      </dt>
      <dd>{what}</dd>
    </>
  );
}
