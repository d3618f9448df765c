import { type QueryKey, useMutation, useQueryClient } from "@tanstack/react-query";
import { useSay } from "../parts/Say";

/** A change on the server: says what was done or why not, and has what it touches asked anew. */
export function useAct<Asked, Answer>(
  act: (asked: Asked) => Promise<Answer>,
  { touches, said, then }: { touches: readonly QueryKey[]; said?: string | ((asked: Asked) => string); then?: (answer: Answer) => void },
) {
  const client = useQueryClient();
  const { say, complain } = useSay();
  return useMutation({
    mutationFn: act,
    onSuccess: (answer, asked) => {
      if (said) say(typeof said === "string" ? said : said(asked));
      then?.(answer);
    },
    onError: complain,
    onSettled: () => Promise.all(touches.map((queryKey) => client.invalidateQueries({ queryKey }))),
  });
}
