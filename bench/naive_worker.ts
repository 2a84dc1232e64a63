/** The Web Worker of `naive_pool.ts`: squares what it gets. */

interface Leased {
  readonly lease: number;
  readonly submit: { readonly n: number };
}

/** What a Web Worker's global scope has, of which the types of a main program know nothing. */
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<string>) => void;
  postMessage(results: string): void;
};

scope.onmessage = ({ data }) => {
  let results = "";
  for (const line of data.split("\n")) {
    const { lease, submit } = JSON.parse(line) as Leased;
    results += `{"lease":${lease},"result":${JSON.stringify(submit.n * submit.n)}}\n`;
  }
  scope.postMessage(results);
};
