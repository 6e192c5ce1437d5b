import { explorerPlugin } from '@graphiql/plugin-explorer';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL, HISTORY_PLUGIN } from 'graphiql';
import { createClient } from 'graphql-ws';
import { createRoot } from 'react-dom/client';

import '@graphiql/plugin-explorer/style.css';
import 'graphiql/style.css';
import './page.css';

const WORKERS = { json: 'json.worker.js', graphql: 'graphql.worker.js' };
globalThis.MonacoEnvironment = {
  getWorker: (_id, label) => new Worker(`graphiql/assets/${WORKERS[label] ?? 'editor.worker.js'}`),
};

const socket = new URL('graphql/ws', location.href);
socket.protocol = socket.protocol.replace('http', 'ws');

// Where the server wants credentials, they are those of the dashboard in this tab, or stand in the headers panel:
// { "Authorization": "Bearer …" }. Subscriptions bring the same.
const signedIn = () => {
  const token = sessionStorage.getItem('invispose-token');
  return token ? `Bearer ${token}` : '';
};
let brought = signedIn();
const client = createClient({ url: socket.href, lazyCloseTimeout: 0, connectionParams: () => (brought ? { Authorization: brought } : undefined) });
const fetch = createGraphiQLFetcher({ url: new URL('graphql', location.href).href, wsClient: client });

function fetcher(request, options) {
  const headers = Object.entries(options?.headers ?? {});
  brought = headers.find(([name]) => name.toLowerCase() === 'authorization')?.[1] ?? signedIn();
  return fetch(request, brought ? { ...options, headers: { ...options?.headers, Authorization: brought } } : options);
}

const query = `# The newest frame of the first site,
# and below it the same as a live stream.
query Now {
  currentFrame {
    id
    time
    stale
    provenance {
      source
      model
      calibrated
      experimental
    }
    presence { present motionLevel coverage }
    persons {
      id
      confidence
      activity
      positionM { x y z }
      zone { id name }
    }
  }
}

subscription Live {
  poseFrames(maxFps: 10) {
    id
    time
    persons {
      id
      positionM { x y z }
      keypoints { name confidence }
    }
  }
}
`;

// A link may bring a query; it is shown, never run by itself.
const linked = new URLSearchParams(location.search).get('query');

createRoot(document.getElementById('graphiql')).render(
  <GraphiQL
    fetcher={fetcher}
    initialQuery={linked ?? query}
    defaultQuery={query}
    plugins={[HISTORY_PLUGIN, explorerPlugin()]}
  />,
);
