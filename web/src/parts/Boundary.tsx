import { Button } from "@mantine/core";
import { Component, type ReactNode } from "react";
import { Note } from "./Note";

interface Props {
  readonly at: string; // an address; another one is another chance
  readonly children: ReactNode;
}

interface State {
  readonly failed: boolean;
  readonly at: string;
}

/** A page that breaks, or whose files a newer server does not have any more, is said to be so instead of being blank. */
export class Boundary extends Component<Props, State> {
  override state: State = { failed: false, at: this.props.at };

  static getDerivedStateFromError(): Partial<State> {
    return { failed: true };
  }

  static getDerivedStateFromProps(props: Props, state: State): State | null {
    return props.at === state.at ? null : { failed: false, at: props.at };
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    return (
      <Note tone="bad" title="This page cannot be shown." alert>
        <p>The server may have been updated since the page was loaded.</p>
        <Button size="xs" variant="default" onClick={() => location.reload()}>
          Load it again
        </Button>
      </Note>
    );
  }
}
