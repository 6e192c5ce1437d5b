// Who sees what: a browser before a server that asks who everybody is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { drawsPersons, launch, onlyFrom, open as openIn, openToAll, shows } from './browser.mjs';
import { Provider } from './provider.mjs';
import { Server } from './server.mjs';

let browser;
let provider;
let server;
before(async () => {
  provider = await Provider.start('invispose', 'dashboard');
  const settings = `[auth]
required = true
issuer = "${provider.issuer}"
audience = "invispose"
client_id = "dashboard"
[rate_limits]
default = 0
`;
  [server, browser] = await Promise.all([Server.start(['demo'], { settings }), launch()]);
});
after(async () => {
  await Promise.all([browser?.close(), server?.[Symbol.asyncDispose]()]);
  provider?.[Symbol.dispose]();
});

/** A page that keeps what WebSockets told it, too. */
async function open(url = server.url) {
  const opened = await openIn(browser, 'about:blank');
  const told = [];
  opened.page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => told.push(JSON.parse(payload))));
  opened.asked.length = 0;
  await opened.page.goto(url);
  return { ...opened, told };
}

const signIn = async (page, token) => {
  await page.fill('.signin input[name="token"]', token);
  await page.click('.signin button[type="submit"]');
};
/** What a browser says by itself of answers such as 401. */
const own = (complaints) => complaints.filter((c) => !/status of (401|403)|WebSocket is closed/.test(c));

test('without a token nothing is shown, and with one everything is', async () => {
  const { page, told, asked, complaints, close } = await open();
  await page.waitForSelector('.signin');
  await page.waitForSelector('.wire:not([data-connection="connected"])');
  const nothing = async () => {
    assert.equal(await page.locator('.card, .events li, .site').count(), 0);
    assert.equal(await page.locator('.provenance:not([data-source="none"])').count(), 0);
    assert.deepEqual(await page.evaluate(() => window.invisposeScene?.read().persons ?? {}), {});
    assert.deepEqual(told.filter((m) => m.type !== 'ping'), []);
  };
  await nothing();
  await openToAll(page, 'signing in');
  await signIn(page, 'no token at all');
  await page.waitForSelector('.signin:has-text("is not taken")');
  await nothing();

  const token = await server.token(['admin:all']);
  await signIn(page, token);
  await drawsPersons(page);
  await shows(page, 'SIMULATED');
  assert.equal(await page.locator('.signin, .lacking').count(), 0);
  await page.keyboard.press('5');
  await page.waitForSelector('.system table');
  assert.ok(!asked.some((request) => request.url().includes(token)), 'the token is in an address');

  // Another tab is somebody else, and who signs out is nobody.
  const other = await open();
  await other.page.waitForSelector('.signin');
  await other.close();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForSelector('.signin');
  assert.equal(await page.locator('.card').count(), 0);
  assert.deepEqual(own(complaints), []);
  await close();
});

test('the token of the dashboard is that of its editor and its files, too', async () => {
  const { page, complaints, close } = await open();
  await signIn(page, await server.token(['admin:all']));
  await drawsPersons(page);
  await page.keyboard.press('3');
  const [file] = await Promise.all([page.waitForEvent('download'), page.click('.exports a:has-text("CSV")')]);
  assert.equal(file.suggestedFilename(), 'frames.csv');
  await page.keyboard.press('6');
  await page.locator('.example a.button').first().click();
  await page.waitForURL(/graphiql/);
  await page.waitForFunction(() => document.querySelector('.graphiql-query-editor')?.textContent.includes('Now'));
  await page.click('.graphiql-execute-button');
  await page.waitForFunction(() => document.querySelector('.graphiql-response')?.textContent.includes('currentFrame'));
  assert.deepEqual(own(complaints), []);
  await close();
});

test('a token for too little is told so', async () => {
  for (const [scopes, lacking] of [[['system:read'], 'pose:read'], [['pose:read'], 'stream:subscribe']]) {
    const { page, complaints, close } = await open();
    await signIn(page, await server.token(scopes));
    await page.waitForSelector(`.lacking:has-text("required scope: ${lacking}")`);
    assert.equal(await page.locator('.signin').count(), 0);
    assert.equal(await page.locator('.card').count(), 0);
    assert.equal(await page.locator('.provenance').getAttribute('data-source'), 'none');
    await openToAll(page, scopes.join());
    assert.deepEqual(own(complaints), []);
    await close();
  }
});

test('an expired token ends the stream and is asked for anew', async () => {
  const { page, close } = await open();
  await page.waitForSelector('.signin');
  await signIn(page, await server.token(['admin:all'], '8s'));
  await drawsPersons(page);
  await page.waitForSelector('.signin:has-text("not any more")');
  await page.waitForSelector('.live.is-old');
  assert.notEqual(await page.locator('.wire').getAttribute('data-connection'), 'connected');
  await signIn(page, await server.token(['admin:all']));
  await page.waitForSelector('.live:not(.is-old)');
  assert.equal(await page.locator('.signin').count(), 0);
  await close();
});

test('people sign in at the identity provider', async () => {
  provider.scope = 'openid admin:all';
  const { page, asked, complaints, close } = await open(`${server.url}#system`);
  await page.click('.signin .provider');
  await page.waitForSelector('.system table');
  assert.equal(page.url(), `${server.url}#system`);
  assert.deepEqual(provider.visits, { authorize: 1, token: 1 });
  // Only the visit itself left this server.
  const elsewhere = asked.filter((request) => request.url().startsWith(provider.issuer));
  assert.deepEqual(elsewhere.map((request) => request.isNavigationRequest()), [true]);
  onlyFrom(server, asked.filter((request) => !elsewhere.includes(request)));
  await page.keyboard.press('1');
  await drawsPersons(page);
  assert.deepEqual(own(complaints), []);

  // Who was sent here by somebody else does not become them.
  const lured = await open(`${server.url}?code=stolen&state=theirs`);
  await lured.page.waitForSelector('.signin:has-text("was not asked for")');
  assert.equal(lured.page.url(), server.url);
  assert.equal(provider.visits.token, 1);
  // Nor does who is declined.
  provider.declines = true;
  await lured.page.click('.signin .provider');
  await lured.page.waitForSelector('.signin:has-text("access_denied")');
  assert.equal(await lured.page.locator('.card').count(), 0);
  await Promise.all([lured.close(), close()]);
});
