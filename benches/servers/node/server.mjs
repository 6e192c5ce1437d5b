// The load of `benches/benches/fanout.rs` on graphql-js behind graphql-ws: the same schema as far as the query goes, the same frames.
//
//   npm install && node server.mjs 4000 20 &
//   cargo bench -p invispose-benches --bench fanout -- --connect 127.0.0.1:4000 --pid $!
import { EventEmitter, on } from 'node:events';
import { createServer } from 'node:http';
import { buildSchema } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

const [port = 4000, fps = 20] = process.argv.slice(2).map(Number);

const schema = buildSchema(`
  scalar DateTime
  enum Activity { STANDING WALKING SITTING LYING WAVING FALLING }
  type Vector3 { x: Float! y: Float! z: Float! }
  type Keypoint { id: Int! name: String! x: Float! y: Float! confidence: Float! positionM: Vector3! }
  type Person { id: ID! confidence: Float! activity: Activity positionM: Vector3! keypoints: [Keypoint!]! }
  type PoseFrame { id: ID! time: DateTime! persons: [Person!]! }
  type Query { currentFrame: PoseFrame }
  type Subscription { poseFrames: PoseFrame! }
`);

const names = ['nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder', 'right_shoulder', 'left_elbow',
  'right_elbow', 'left_wrist', 'right_wrist', 'left_hip', 'right_hip', 'left_knee', 'right_knee', 'left_ankle', 'right_ankle'];
const decimal = (v) => Math.round(v * 1e4) / 1e4;

function person(id, n) {
  const x = 1 + ((n + 7 * id) % 100) / 37;
  const keypoints = names.map((name, i) => {
    const [px, pz] = [x + 0.013 * i, 1.75 - 0.1 * i];
    return {
      id: i, name, x: decimal(px / 6), y: decimal(1 - pz / 2.7), confidence: 0.917,
      positionM: { x: decimal(px), y: 1.37, z: decimal(pz) },
    };
  });
  return { id: String(id), confidence: 0.93, activity: 'WALKING', positionM: { x: decimal(x), y: 1.37, z: 0.912 }, keypoints };
}

const frames = new EventEmitter();
frames.setMaxListeners(0);
let id = 0;
let newest = null;
// Microseconds since the Unix epoch, as the other side writes them.
const start = Date.now() - performance.now();
function stamp() {
  const now = start + performance.now();
  const micros = String(Math.floor((now % 1) * 1000)).padStart(3, '0');
  return new Date(now).toISOString().replace('Z', `${micros}Z`);
}
let due = performance.now();
function tick() {
  id += 1;
  newest = { id: String(id), time: stamp(), persons: [person(1, id), person(2, id)] };
  frames.emit('frame', { poseFrames: newest });
  due += 1000 / fps;
  setTimeout(tick, Math.max(0, due - performance.now()));
}

async function* poseFrames() {
  if (newest) yield { poseFrames: newest };
  for await (const [frame] of on(frames, 'frame')) yield frame;
}

const http = createServer();
useServer({ schema, roots: { subscription: { poseFrames } } }, new WebSocketServer({ server: http, path: '/graphql/ws' }));
http.listen(port, '127.0.0.1', () => {
  tick();
  console.log(`listening on 127.0.0.1:${port}`);
});
