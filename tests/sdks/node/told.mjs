import { readFileSync } from "node:fs";

/** What the test wants to be sent, and where to. */
export const { url, key, calls } = JSON.parse(readFileSync(process.argv[2]));

/** Tell the test of an error that the SDK told. */
export const tell = (error) => console.log(`${error}`);
