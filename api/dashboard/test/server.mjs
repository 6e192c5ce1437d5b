// The real server, on a port of its own, and what it takes to talk to it.
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const binary = process.env.SERVER_BINARY;
if (!binary) throw new Error('SERVER_BINARY names the program to test');

/** Far more than anything here takes; a test that reaches it has failed. */
export const PATIENCE_MS = 120_000;

const made = () => mkdtemp(join(tmpdir(), 'invispose-dashboard-'));
const removed = (folder) => rm(folder, { recursive: true, force: true });

/** A folder that is gone after the test. */
export async function temporary(t) {
  const folder = await made();
  t.after(() => removed(folder));
  return folder;
}

/** Runs the program to its end. */
export async function invispose(args, cwd) {
  const child = spawn(binary, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
  const code = await new Promise((resolve) => child.on('exit', resolve));
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}`);
}

export class Server {
  /** Starts `demo`, `run` or `replay`; `listen` for a port that is known beforehand, `settings` for `invispose.toml`. */
  static async start(args, { listen = '127.0.0.1:0', folder, settings } = {}) {
    const server = new Server();
    server.folder = folder ?? await made();
    if (settings !== undefined) await writeFile(join(server.folder, 'invispose.toml'), settings);
    server.child = spawn(
      binary,
      [...args, '--listen', listen, '--data-dir', 'data', '--device', 'cpu', '--log-level', 'warn'],
      { cwd: server.folder, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    server.ended = new Promise((resolve) => server.child.on('exit', resolve));
    server.url = await new Promise((resolve, reject) => {
      server.ended.then((code) => reject(new Error(`${args.join(' ')} ended with ${code}`)));
      createInterface(server.child.stdout).on('line', (line) => {
        if (line.startsWith('listening on ')) resolve(`${line.slice('listening on '.length)}/`);
      });
    });
    return server;
  }

  get address() {
    return new URL(this.url).host;
  }

  /** A new token for these rights. */
  async token(scopes, ttl = '1h') {
    const args = ['token', 'create', '--data-dir', 'data', '--ttl', ttl, ...scopes.flatMap((scope) => ['--scope', scope])];
    const { stdout } = await promisify(execFile)(binary, args, { cwd: this.folder });
    return stdout.trim();
  }

  async graphql(query, variables = {}) {
    const answer = await fetch(new URL('graphql', this.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await answer.json();
    if (errors) throw new Error(JSON.stringify(errors));
    return data;
  }

  /** Without a chance to say goodbye. */
  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  async [Symbol.asyncDispose]() {
    await this.kill();
    await removed(this.folder);
  }
}
