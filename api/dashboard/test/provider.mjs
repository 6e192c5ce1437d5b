// A small OpenID Connect provider: discovery, authorization code with PKCE, one key. Whoever is sent to it is signed in at once.
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import http from 'node:http';

const encoded = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

export class Provider {
  /** What its tokens grant, as they name it. */
  scope = '';
  /** It says no instead. */
  declines = false;
  /** Requests that its endpoints got. */
  visits = { authorize: 0, token: 0 };
  #codes = new Map();
  #key = generateKeyPairSync('ed25519');

  static async start(audience, client) {
    const provider = new Provider();
    Object.assign(provider, { audience, client });
    provider.server = http.createServer((request, response) => provider.#answer(request, response));
    await new Promise((resolve) => provider.server.listen(0, '127.0.0.1', resolve));
    provider.issuer = `http://127.0.0.1:${provider.server.address().port}`;
    return provider;
  }

  #token() {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: this.issuer, aud: this.audience, sub: 'alice', exp: now + 600, scope: this.scope };
    const message = `${encoded({ alg: 'EdDSA', kid: 'k' })}.${encoded(claims)}`;
    return `${message}.${sign(null, Buffer.from(message), this.#key.privateKey).toString('base64url')}`;
  }

  async #answer(request, response) {
    const url = new URL(request.url, this.issuer);
    const json = (status, body) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (url.pathname === '/.well-known/openid-configuration') {
      json(200, {
        issuer: this.issuer,
        jwks_uri: `${this.issuer}/keys`,
        authorization_endpoint: `${this.issuer}/authorize`,
        token_endpoint: `${this.issuer}/token`,
        code_challenge_methods_supported: ['S256'],
      });
    } else if (url.pathname === '/keys') {
      json(200, { keys: [{ ...this.#key.publicKey.export({ format: 'jwk' }), kid: 'k', use: 'sig', alg: 'EdDSA' }] });
    } else if (url.pathname === '/authorize') {
      this.visits.authorize += 1;
      const asked = Object.fromEntries(url.searchParams);
      const good = asked.response_type === 'code' && asked.client_id === this.client && asked.code_challenge_method === 'S256' && asked.state && asked.audience === this.audience;
      const back = new URL(asked.redirect_uri);
      back.searchParams.set('state', asked.state);
      back.searchParams.set('iss', this.issuer);
      if (!good || this.declines) back.searchParams.set('error', good ? 'access_denied' : 'invalid_request');
      else {
        const code = randomBytes(16).toString('hex');
        this.#codes.set(code, asked);
        back.searchParams.set('code', code);
      }
      response.writeHead(302, { location: back.href }).end();
    } else if (url.pathname === '/token') {
      this.visits.token += 1;
      let body = '';
      for await (const part of request) body += part;
      const brought = Object.fromEntries(new URLSearchParams(body));
      const asked = this.#codes.get(brought.code);
      this.#codes.delete(brought.code);
      const challenge = createHash('sha256').update(brought.code_verifier ?? '').digest('base64url');
      if (!asked || challenge !== asked.code_challenge || brought.redirect_uri !== asked.redirect_uri || brought.client_id !== this.client || brought.grant_type !== 'authorization_code') {
        json(400, { error: 'invalid_grant' });
      } else json(200, { access_token: this.#token(), token_type: 'Bearer', expires_in: 600 });
    } else json(404, {});
  }

  [Symbol.dispose]() {
    this.server.closeAllConnections();
    this.server.close();
  }
}
