// The page: an agent of the server that the page came from, and what a person does with it. Words of others are put into
// the document as text, never as markup.

import { Agent } from './browser.js';
import { Chat, LINE_LENGTH, receiveFiles, sendFile } from './streams.js';

/** Lines of a log, and files of the list, that are kept. */
const LOG_LINES = 200;
const FILES = 20;
const WAIT_MS = 120_000;
const LOOK_MS = 2_000;
const NAME_KEY = 'pilotwire-demo-name';

const $ = (id) => document.getElementById(id);
/** By address: what the page knows of a peer, `{ name, log, unread }`. */
const peers = new Map();
let agent;
let chat;
let chosen;
/** One start after the other: two at a time would be two agents. */
let starting = Promise.resolve();

/** Starts an agent, or starts it again with another name. The tab keeps its key, and so its address. */
async function start(name) {
  await agent?.close();
  agent = undefined;
  show('Starting …');
  // Plaintext to another machine is what the page itself came by.
  const isPlain = location.protocol === 'http:';
  const path = location.pathname.replace(/[^/]*$/, '');
  const rendezvous = `${isPlain ? 'ws' : 'wss'}://${location.host}${path}`;
  agent = await Agent.start({ rendezvous, insecure: isPlain, ...(name === '' ? {} : { hostname: name }) });
  sessionStorage.setItem(NAME_KEY, name);
  $('address').textContent = `${agent.address}`;
  $('key').textContent = fingerprint(agent.publicKey);
  $('name').value = agent.hostname ?? '';
  $('copy').hidden = navigator.clipboard === undefined;
  document.title = `${agent.hostname ?? agent.address} · pilotwire`;
  agent.on('diagnostics', () => refresh());
  chat = new Chat(agent, (peer, text) => heard(peer, text));
  forever(chat.serve());
  forever(receiveFiles(agent, (file) => listed({ ...file, isMine: false })));
  refresh();
}

/** What ends with the agent is no failure; anything else is shown. */
function forever(promise) {
  promise.catch((error) => error?.code === 'CLOSED' || fail(error));
}

function show(text, kind = '') {
  if ($('state').textContent === text) return;
  $('state').textContent = text;
  $('state').className = `state ${kind}`;
}

function fail(error) {
  $('failure').textContent = explain(error);
  $('failure').hidden = false;
}

function explain({ message, hint }) {
  return hint === undefined ? message : `${message} (${hint})`;
}

function fingerprint(key) {
  if (key === undefined) return 'not confirmed yet';
  const hex = Array.from(key.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('');
  return hex.replace(/(.{4})(?=.)/g, '$1 ');
}

/** Makes an element with properties and children. */
function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

/** Draws what depends on the agent: its state, requests and peers. */
function refresh() {
  if (agent === undefined) return;
  show(agent.isOnline ? 'Online' : 'Offline: trying again', agent.isOnline ? 'is-good' : 'is-bad');
  drawRequests(agent.trust.pending());
  const list = agent.trust.list().map(({ peer }) => `${peer}`);
  for (const address of list) known(address);
  drawPeers(list);
  if (chosen !== undefined && !list.includes(chosen)) choose(undefined);
}

/** Cards that are there stay as they are: a focus or a live region must not lose them to a redraw. */
function keep(list, keys, draw) {
  const old = new Map([...list.children].map((item) => [item.dataset.key, item]));
  for (const [key, item] of old) if (!keys.includes(key)) item.remove();
  for (const key of keys) {
    if (old.has(key)) continue;
    const item = draw(key);
    item.dataset.key = key;
    list.append(item);
  }
}

function drawRequests(requests) {
  const byPeer = new Map(requests.map((request) => [`${request.peer}`, request]));
  $('no-requests').hidden = byPeer.size > 0;
  keep($('requests'), [...byPeer.keys()], (address) => {
    const { justification, publicKey } = byPeer.get(address);
    const button = (text, className, act) =>
      make('button', { type: 'button', className, onclick: () => judge(act) }, text, unseen(` ${address}`));
    return make(
      'li',
      { className: 'card' },
      make('code', {}, address),
      make('p', {}, justification === '' ? 'asks for your trust' : `“${justification}”`),
      make('p', { className: 'hint' }, `Key ${fingerprint(publicKey)}`),
      make(
        'div',
        { className: 'line' },
        button('Approve', '', async () => {
          await agent.trust.approve(address);
          if (chosen === undefined) talkTo(address);
        }),
        button('Reject', 'quiet', () => agent.trust.reject(address)),
      ),
    );
  });
}

async function judge(act) {
  try {
    await act();
  } catch (error) {
    fail(error);
  }
  refresh();
  // The button that had the focus is gone.
  if (document.activeElement === document.body) $('requests-title').focus();
}

function unseen(text) {
  return make('span', { className: 'unseen' }, text);
}

function known(address) {
  let peer = peers.get(address);
  if (peer === undefined) {
    const log = make('div', { className: 'log', hidden: true, tabIndex: 0 });
    log.setAttribute('role', 'log');
    log.setAttribute('aria-label', `Chat with ${address}`);
    $('logs').append(log);
    peer = { name: undefined, log, unread: 0 };
    peers.set(address, peer);
    nameOf(address, peer);
  }
  return peer;
}

async function nameOf(address, peer) {
  try {
    peer.name = (await agent.find(address)).hostname;
    drawPeer(address);
  } catch {
    // A peer without a name, or one that does not show it, goes by its address.
  }
}

function drawPeers(list) {
  $('no-peers').hidden = list.length > 0;
  keep($('peers'), list, (address) =>
    make('li', {}, make('button', { type: 'button', className: 'peer', onclick: () => talkTo(address) })),
  );
  for (const address of list) drawPeer(address);
}

function drawPeer(address) {
  const item = [...$('peers').children].find(({ dataset }) => dataset.key === address);
  const button = item?.querySelector('button');
  if (button === null || button === undefined) return;
  const { name, unread } = known(address);
  const title = name === undefined ? [] : [make('strong', {}, name)];
  const badge = unread === 0 ? [] : [make('span', { className: 'badge' }, `${unread} new`)];
  button.replaceChildren(make('span', {}, ...title, make('code', {}, address)), ...badge);
  button.setAttribute('aria-pressed', `${address === chosen}`);
  if (address === chosen) $('talk-title').textContent = name ?? address;
}

function choose(address) {
  const last = chosen;
  chosen = address;
  if (address !== undefined) known(address).unread = 0;
  $('nobody').hidden = address !== undefined;
  $('together').hidden = $('road').hidden = address === undefined;
  $('talk-title').textContent = address ?? 'Nobody chosen';
  $('chat-news').textContent = '';
  for (const [each, { log }] of peers) log.hidden = each !== address;
  if (last !== undefined) drawPeer(last);
  if (address === undefined) return;
  drawPeer(address);
  $('path').textContent = $('rtt').textContent = '…';
  look();
}

/** Chosen by hand: then the hand goes on there. A choice of the page's own must not take the focus from where it is. */
function talkTo(address) {
  choose(address);
  $('line').focus();
}

/** How the chosen peer is reached now, and how long that takes. */
async function look() {
  const address = chosen;
  if (agent === undefined || address === undefined || document.hidden) return;
  try {
    const { path, carrier, reason } = await agent.explain(address);
    const { rttMs } = await agent.ping(address, { timeoutMs: LOOK_MS });
    if (address !== chosen) return;
    $('path').textContent = `${path}, by ${carrier === 'udp' ? 'UDP' : 'WebSocket'}`;
    $('path').title = reason.replaceAll('-', ' ');
    $('rtt').textContent = `${rttMs.toFixed(1)} ms`;
  } catch {
    if (address === chosen) $('rtt').textContent = 'no answer';
  }
}

function heard(address, text) {
  const peer = known(address);
  write(peer.log, peer.name ?? address, text);
  if (address === chosen) return;
  peer.unread += 1;
  drawPeer(address);
}

function write(log, who, text, className = '') {
  const time = new Date().toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  log.append(make('p', { className }, make('b', {}, `${who}, ${time}`), text));
  while (log.childElementCount > LOG_LINES) log.firstElementChild.remove();
  log.scrollTop = log.scrollHeight;
}

/** A file in the list. @returns What is told of it. */
function listed({ peer, name, size, isMine }) {
  const who = peers.get(peer)?.name ?? peer;
  const direction = isMine ? `to ${who}` : `from ${who}`;
  const progress = make('progress', { max: Math.max(size, 1), value: 0, ariaLabel: `${name} ${direction}` });
  const state = make('span', { className: 'hint' }, '0 %');
  const item = make('li', { className: 'card' }, make('span', {}, `${name} `, hint(`${bytes(size)} ${direction}`)));
  item.append(state, progress);
  $('files').prepend(item);
  $('files-title').hidden = false;
  while ($('files').childElementCount > FILES) forget($('files').lastElementChild);
  const end = (text, className) => {
    progress.remove();
    state.textContent = text;
    state.className = className;
    $('files-news').textContent = `${name} ${direction}: ${text}`;
  };
  return {
    progress(done) {
      progress.value = done;
      state.textContent = `${Math.floor((100 * done) / Math.max(size, 1))} %`;
    },
    sent({ sha256, isSame }) {
      item.dataset.sha256 = sha256 ?? '';
      end(isSame === false ? 'Arrived damaged' : isSame ? 'Arrived, hash compared' : 'Arrived', 'hint');
    },
    done({ blob, sha256 }) {
      item.dataset.sha256 = sha256 ?? '';
      end('Received', 'hint');
      const link = make('a', { href: URL.createObjectURL(blob), download: name }, 'Save', unseen(` ${name}`));
      state.replaceChildren(link);
    },
    failed(error) {
      end(`Failed: ${explain(error)}`, 'news is-bad');
    },
  };
}

function forget(item) {
  const link = item.querySelector('a');
  if (link !== null) URL.revokeObjectURL(link.href);
  item.remove();
}

function hint(text) {
  return make('span', { className: 'hint' }, text);
}

function bytes(size) {
  if (size < 1_000) return `${size} B`;
  const [unit, divisor] = size < 1_000_000 ? ['KB', 1_000] : ['MB', 1_000_000];
  return `${(size / divisor).toFixed(1)} ${unit}`;
}

/** One after the other: they share the road. */
async function sendAll(files) {
  const peer = chosen;
  if (peer === undefined || agent === undefined) return;
  for (const file of files) {
    const news = listed({ peer, name: file.name, size: file.size, isMine: true });
    try {
      news.sent(await sendFile({ agent, peer, file, onProgress: (done) => news.progress(done) }));
    } catch (error) {
      news.failed(error);
    }
  }
}

async function ask(target, why) {
  const news = $('ask-news');
  const tell = (text, isBad = false) => {
    news.textContent = text;
    news.classList.toggle('is-bad', isBad);
  };
  if (agent === undefined) {
    tell('This page is not connected to its rendezvous.', true);
    return;
  }
  try {
    tell(`Asking ${target} …`);
    const status = await agent.trust.request(target, why);
    if (status !== 'already_trusted') {
      tell(`${target} was asked. Waiting for its answer …`);
      await agent.trust.wait(target, { timeoutMs: WAIT_MS });
    }
    tell(`${target} trusts this page.`);
    refresh();
    if (chosen === undefined) choose(`${(await agent.find(target)).address}`);
  } catch (error) {
    tell(explain(error), true);
  }
}

/** A form that is sent is handled here, never by the browser. */
function onSubmit(id, handle) {
  $(id).addEventListener('submit', (event) => {
    event.preventDefault();
    handle();
  });
}

onSubmit('name-form', () => {
  $('failure').hidden = true;
  restart($('name').value.trim());
});
onSubmit('ask-form', () => ask($('target').value.trim(), $('why').value.trim()));
onSubmit('chat-form', async () => {
  const [peer, text] = [chosen, $('line').value.trim()];
  if (peer === undefined || text === '') return;
  try {
    await chat.say(peer, text);
    write(known(peer).log, 'You', text, 'mine');
    $('line').value = '';
    $('chat-news').textContent = '';
  } catch (error) {
    $('chat-news').textContent = explain(error);
  }
});
$('line').maxLength = LINE_LENGTH;
$('copy').addEventListener('click', async () => {
  await navigator.clipboard.writeText($('address').textContent);
  $('ask-news').textContent = 'The address was copied.';
});
$('file').addEventListener('change', ({ target }) => {
  sendAll([...target.files]);
  target.value = '';
});
const drop = $('drop');
for (const name of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle('is-over', name === 'dragenter' || name === 'dragover');
  });
}
drop.addEventListener('drop', ({ dataTransfer }) => sendAll([...dataTransfer.files]));
// A file that misses the field must not replace the page.
for (const name of ['dragover', 'drop']) document.addEventListener(name, (event) => event.preventDefault());
setInterval(look, LOOK_MS);

/** A name that is taken leaves a page that works without one. */
function restart(name) {
  const failed = (error) => {
    fail(error);
    show('Not started', 'is-bad');
    if (error.code === 'ALREADY_EXISTS' && name !== '') restart('');
  };
  starting = starting.then(() => start(name)).catch(failed);
}

restart(sessionStorage.getItem(NAME_KEY) ?? '');
