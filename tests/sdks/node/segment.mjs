import { Analytics } from "@segment/analytics-node";
import { calls, key, tell, url } from "./told.mjs";

const client = new Analytics({ writeKey: key, host: url, flushAt: 10, flushInterval: 100, maxRetries: 100 });
client.on("error", ({ reason }) => tell(reason));

for (const { kind, id, who, at, event, properties, previous, group } of calls) {
  const common = { userId: who, timestamp: new Date(at), messageId: id };
  if (kind === "identify") {
    client.identify({ ...common, traits: properties });
  } else if (kind === "group") {
    client.group({ ...common, groupId: group, traits: properties });
  } else if (kind === "alias") {
    client.alias({ ...common, previousId: previous });
  } else if (kind === "page" || kind === "screen") {
    client[kind]({ ...common, name: event, properties });
  } else {
    client.track({ ...common, event, properties });
  }
}
await client.closeAndFlush({ timeout: 240_000 });
