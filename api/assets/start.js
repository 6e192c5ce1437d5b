// The newest frame of a site as it comes, over the public subscription. Nothing is shown that did not arrive.
const frame = document.getElementById('frame');
const state = document.getElementById('state');
const sites = document.getElementById('site');

const query = `subscription ($site: ID) {
  poseFrames(siteId: $site, maxFps: 5) {
    id time stale processingTimeMs
    provenance { source model calibrated experimental }
    presence { present motionLevel coverage }
    persons {
      id confidence activity zone { id } positionM { x y z } velocityMS { x y z }
      keypoints { name confidence positionM { x y z } }
    }
  }
}`;

let socket;

function connect() {
  const url = new URL('/graphql/ws', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const mine = new WebSocket(url, 'graphql-transport-ws');
  socket?.close();
  socket = mine;
  mine.onopen = () => mine.send(JSON.stringify({ type: 'connection_init' }));
  mine.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.type === 'connection_ack') {
      state.textContent = 'connected; no frame yet';
      const variables = { site: sites.value || null };
      mine.send(JSON.stringify({ type: 'subscribe', id: 'frames', payload: { query, variables } }));
    } else if (message.type === 'ping') {
      mine.send(JSON.stringify({ type: 'pong' }));
    } else if (message.type === 'next' && message.payload.data) {
      const newest = message.payload.data.poseFrames;
      const { source, experimental } = newest.provenance;
      state.textContent = [source, experimental && 'experimental poses', newest.stale && 'old: not the present']
        .filter(Boolean).join(', ');
      frame.textContent = JSON.stringify(newest, null, 2);
    } else if (message.type === 'error' || message.payload?.errors) {
      state.textContent = JSON.stringify(message.payload);
    }
  };
  mine.onclose = () => {
    if (socket !== mine) return;
    state.textContent = 'not connected';
    frame.textContent = '';
    setTimeout(connect, 2000);
  };
}

async function start() {
  const answer = await fetch('/graphql?query=' + encodeURIComponent('{ sites { id name } }'));
  for (const site of (await answer.json()).data.sites) sites.add(new Option(site.name, site.id));
  sites.onchange = () => { frame.textContent = ''; connect(); };
  connect();
}

start().catch((error) => { state.textContent = String(error); });
