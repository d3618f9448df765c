import "@mantine/core/styles.css";
import "./app.css";
import { MantineProvider, createTheme, localStorageColorSchemeManager } from "@mantine/core";
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { Refusal } from "./api/problem";
import { ME } from "./api/session";
import { THEME } from "./theme";

const root = document.getElementById("root");
if (!root) throw new Error("the page has no place for the application");

const onError = (error: unknown) => {
  if (error instanceof Refusal && error.status === 401) client.setQueryData(ME, null);
};
const client: QueryClient = new QueryClient({
  queryCache: new QueryCache({ onError }),
  mutationCache: new MutationCache({ onError }),
  defaultOptions: { queries: { staleTime: 5000, retry: (failures, error) => failures < 2 && !(error instanceof Refusal) } },
});

// No style elements at all: the server's policy allows only its own files, and Mantine's defaults are in its style sheet.
createRoot(root).render(
  <StrictMode>
    <MantineProvider
      theme={createTheme(THEME)}
      defaultColorScheme="auto"
      colorSchemeManager={localStorageColorSchemeManager({ key: "provisioning-colours" })}
      withCssVariables={false}
      withGlobalClasses={false}
    >
      <QueryClientProvider client={client}>
        <App />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
