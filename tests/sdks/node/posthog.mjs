import { PostHog } from "posthog-node";
import { calls, key, tell, url } from "./told.mjs";

const client = new PostHog(key, {
  host: url,
  flushAt: 10,
  maxBatchSize: 10,
  flushInterval: 100,
  fetchRetryCount: 1000,
  fetchRetryDelay: 200,
});
client.on("error", tell);

const names = { page: "$pageview", screen: "$screen" };
for (const { kind, id, who, at, event, properties, previous, group } of calls) {
  if (kind === "identify") {
    client.identify({ distinctId: who, properties });
  } else if (kind === "group") {
    client.groupIdentify({ groupType: "company", groupKey: group, properties, distinctId: who });
  } else if (kind === "alias") {
    client.alias({ distinctId: who, alias: previous });
  } else {
    client.capture({ distinctId: who, event: names[kind] ?? event, properties, timestamp: new Date(at), uuid: id });
  }
}
await client.shutdown(240_000);
