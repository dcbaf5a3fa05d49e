// chat.js: what a page of the chat can do more than show itself: times that stay true, messages that come by themselves,
// and words that are sent until they have arrived.
//
// What comes from people goes into the page with textContent and never as markup.

const byId = (id) => document.getElementById(id);
const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

// ---- Times -------------------------------------------------------------------------------------------

const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const dayAndMonth = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const wholeDay = new Intl.DateTimeFormat('en-GB', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });
const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

function dayName(date) {
  const days = Math.round((midnight(new Date()) - midnight(date)) / DAY);
  return days === 0 ? 'Today' : days === 1 ? 'Yesterday' : wholeDay.format(date);
}

// Near times in words, far ones as the clock says; the whole date on pointing.
function showTime(element) {
  const date = new Date(element.dataset.at * 1000);
  const ago = Date.now() - date;
  const short = 'short' in element.dataset;
  if (ago < MINUTE) element.textContent = short ? 'now' : 'just now';
  else if (ago < 60 * MINUTE) element.textContent = `${Math.floor(ago / MINUTE)} min${short ? '' : ' ago'}`;
  else if (!short || midnight(date) === midnight(new Date())) element.textContent = clock.format(date);
  else element.textContent = dayAndMonth.format(date);
  element.title = `${wholeDay.format(date)}, ${clock.format(date)}`;
}

function showTimes() {
  for (const element of document.querySelectorAll('time[data-at]')) showTime(element);
}

showTimes();
setInterval(showTimes, MINUTE / 2);

// ---- A room ------------------------------------------------------------------------------------------

const talk = byId('talk');
if (talk) enterRoom();

function enterRoom() {
  const BODY_LIMIT = 4000;
  const SAME_BREATH = 5 * 60; // seconds
  const KEPT = 400; // messages that stay on the page when many come

  const { url, messages: messagesUrl, live: liveUrl } = talk.dataset;
  const log = byId('log');
  const list = byId('messages');
  const older = byId('older');
  const pill = byId('pill');
  const form = byId('composer');
  const body = byId('body');
  const title = document.title;
  let me = talk.dataset.me;
  let unseen = 0; // messages below what is in sight
  let missed = 0; // messages that came while the page was out of sight

  const all = () => [...list.querySelectorAll('.message')];
  const stored = () => all().filter((item) => item.dataset.id);
  const idOf = (item) => Number(item.dataset.id);

  // ---- Messages on the page ----

  function link(text) {
    const a = document.createElement('a');
    a.href = text; // which the server says begins with http:// or https://
    a.rel = 'noopener noreferrer nofollow';
    a.target = '_blank';
    a.textContent = text;
    return a;
  }

  const newItem = () => byId('message-template').content.firstElementChild.cloneNode(true);

  function fill(item, { author, colour, initial, pieces, sent }) {
    const time = item.querySelector('time');
    item.className = colour === undefined ? 'message' : `message colour-${colour}`;
    item.classList.toggle('mine', author === me);
    item.dataset.author = author;
    item.dataset.sent = sent;
    item.querySelector('.avatar').textContent = initial;
    item.querySelector('.author').textContent = author;
    item.querySelector('.body').replaceChildren(...pieces.map((piece) => (piece.link ? link(piece.text) : piece.text)));
    time.dateTime = new Date(sent * 1000).toISOString();
    time.dataset.at = sent;
    showTime(time);
    return item;
  }

  // Where days begin, and who goes on speaking.
  function arrange() {
    let before = null;
    for (const item of all()) {
      const date = new Date(item.dataset.sent * 1000);
      const newDay = !before || midnight(date) !== midnight(new Date(before.dataset.sent * 1000));
      let day = item.previousElementSibling?.matches('.day') ? item.previousElementSibling : null;
      if (newDay) {
        if (!day) {
          day = document.createElement('li');
          day.className = 'day';
          day.append(document.createElement('span'));
          item.before(day);
        }
        const name = dayName(date);
        if (day.textContent !== name) day.firstElementChild.textContent = name;
      } else {
        day?.remove();
      }
      const follows = !newDay && item.dataset.author === before.dataset.author
        && item.dataset.sent - before.dataset.sent < SAME_BREATH;
      item.classList.toggle('follows', follows);
      before = item;
    }
    for (const day of list.querySelectorAll('.day')) {
      if (!day.nextElementSibling?.matches('.message')) day.remove(); // its messages have gone
    }
    byId('empty').hidden = before !== null;
  }

  // The last message, in the list of rooms.
  function showLast({ author, pieces, sent }) {
    const entry = document.querySelector('.room[aria-current]');
    if (!entry) return; // there are more rooms than the list shows
    const time = entry.querySelector('time');
    entry.querySelector('.room-last').textContent = `${author}: ${pieces.map((piece) => piece.text).join('')}`;
    time.dateTime = new Date(sent * 1000).toISOString();
    time.dataset.at = sent;
    showTime(time);
  }

  // Puts a message where its number belongs; one that is there already stays as it is. Tells whether it is new.
  function place(message) {
    if (byId(`m${message.id}`)) return false;
    const item = fill(pendingItem(message.nonce) ?? newItem(), message);
    const before = stored().findLast((other) => idOf(other) < message.id);
    item.id = `m${message.id}`;
    item.dataset.id = message.id;
    let next = before ? before.nextElementSibling : list.firstElementChild;
    if (next?.matches('.day')) next = next.nextElementSibling;
    if (next !== item) list.insertBefore(item, next); // not again where it stands: it would be read out twice
    if (stored().at(-1) === item) showLast(message);
    return true;
  }

  // The log grows upwards from its lower end. Who is there stays there; who reads further up keeps the line.
  const atEnd = () => log.scrollTop > -60;

  function keepingPlace(change) {
    const end = atEnd();
    const height = log.scrollHeight;
    change();
    arrange();
    log.scrollTop = end ? 0 : log.scrollTop - (log.scrollHeight - height);
  }

  function tell() {
    pill.hidden = unseen === 0;
    pill.textContent = unseen === 1 ? '1 new message' : `${unseen} new messages`;
    document.title = missed ? `(${missed}) ${title}` : title;
  }

  function seen() {
    if (atEnd()) unseen = 0;
    if (!document.hidden) missed = 0;
    tell();
  }

  function goToEnd() {
    log.scrollTop = 0;
    seen();
  }

  function arrive(messages) {
    keepingPlace(() => {
      for (const message of messages) {
        if (!place(message)) continue;
        byId(`m${message.id}`).classList.add('fresh');
        if (message.author === me) continue;
        if (!atEnd()) unseen++;
        if (document.hidden) missed++;
      }
      if (atEnd()) forgetOldest();
    });
    tell();
  }

  function forgetOldest() {
    const items = stored();
    if (items.length < KEPT * 1.5) return;
    for (const item of items.slice(0, -KEPT)) item.remove();
    older.hidden = false;
  }

  // ---- Older messages ----

  let loadingOlder = false;

  async function showOlder() {
    if (loadingOlder || older.hidden) return;
    loadingOlder = true;
    log.setAttribute('aria-busy', 'true'); // nobody wants these read out
    try {
      const first = stored()[0];
      const answer = await fetch(`${messagesUrl}?before=${first ? idOf(first) : ''}`, { headers: { Accept: 'application/json' } });
      if (!answer.ok) throw new Error(answer.statusText);
      const page = await answer.json();
      const { scrollTop } = log;
      page.messages.forEach(place);
      arrange();
      log.scrollTop = scrollTop;
      if (!page.older && older.contains(document.activeElement)) log.focus();
      older.hidden = !page.older;
    } catch {
      // The link stays: another try is a click away.
    }
    log.removeAttribute('aria-busy');
    loadingOlder = false;
  }

  older.addEventListener('click', (event) => {
    event.preventDefault();
    showOlder();
  });
  new IntersectionObserver(([entry]) => entry.isIntersecting && log.scrollTop < 0 && showOlder(), { root: log }).observe(older);

  // ---- Listening ----

  const RETRY_FIRST = 500;
  const RETRY_MOST = 30_000;
  const SILENCE = 50_000; // the server says something every 20 s

  let socket = null;
  let last = Math.max(0, ...stored().map(idOf)); // everything up to this number has come: what was sent meanwhile does not count
  let arrived = [];
  let attempts = 0;
  let heard = 0;
  let retry = 0;

  function state(name, text) {
    const element = byId('connection');
    element.className = `connection ${name}`;
    if (element.textContent !== text) element.textContent = text;
    element.hidden = false;
  }

  function connect() {
    clearTimeout(retry);
    const address = new URL(`${liveUrl}?after=${last}`, location.href);
    address.protocol = address.protocol.replace('http', 'ws');
    const mine = new WebSocket(address);
    socket = mine;
    heard = Date.now();
    if (attempts === 0) state('', 'Connecting…');
    mine.onopen = () => {
      attempts = 0;
      heard = Date.now();
      state('live', 'Live');
      wake();
    };
    mine.onmessage = ({ data }) => {
      heard = Date.now();
      const message = JSON.parse(data);
      if (!message.id) return;
      last = Math.max(last, message.id);
      if (arrived.push(message) === 1) setTimeout(() => arrive(arrived.splice(0)));
    };
    mine.onclose = ({ code }) => socket === mine && (code === 4000 ? location.reload() : lost());
  }

  // Waits twice as long each time, and a random part less, so that not everybody comes back at once.
  function lost() {
    socket = null;
    const delay = Math.min(RETRY_MOST, RETRY_FIRST * 2 ** attempts++) * (0.5 + Math.random() / 2);
    state('lost', navigator.onLine ? 'Reconnecting…' : 'Offline');
    retry = setTimeout(connect, delay);
  }

  function checkSilence() {
    if (!socket || Date.now() - heard < SILENCE) return;
    const silent = socket;
    lost();
    silent.close();
  }

  function reconnectNow() {
    if (!socket) connect();
  }

  if (liveUrl) {
    connect();
    setInterval(checkSilence, 5000);
    addEventListener('online', reconnectNow);
    addEventListener('pageshow', (event) => event.persisted && reconnectNow());
    document.addEventListener('visibilitychange', () => {
      seen();
      if (document.hidden) return;
      checkSilence();
      reconnectNow();
    });
  }

  // ---- Speaking ----
  // What is to be sent stands in the outbox, also across a reload, until the server has said that it is stored. Each has a
  // mark of its own, by which the server knows it again: so sending twice is safe.

  const outboxKey = `outbox ${url}`;
  const outbox = JSON.parse(sessionStorage.getItem(outboxKey) ?? '[]');
  let delivering = false;
  let wake = () => {};

  const pendingItem = (nonce) => list.querySelector(`.pending[data-nonce="${CSS.escape(nonce ?? '')}"]`);
  const keepOutbox = () => sessionStorage.setItem(outboxKey, JSON.stringify(outbox));

  function wrong(text) {
    byId('wrong').textContent = text;
    byId('wrong').hidden = !text;
  }

  function showPending(entry) {
    const author = me || entry.name;
    const item = fill(newItem(), { author, initial: [...author][0], pieces: [{ text: entry.body }], sent: Math.floor(Date.now() / 1000) });
    item.classList.add('mine', 'pending');
    item.dataset.nonce = entry.nonce;
    delete item.querySelector('time').dataset.at;
    item.querySelector('time').textContent = 'sending…';
    keepingPlace(() => list.append(item));
  }

  function nowKnownAs({ author, colour }) {
    if (me === author) return;
    me = author;
    byId('as-name').textContent = author;
    byId('as-name').className = `author colour-${colour}`;
    byId('as').hidden = false;
    byId('name')?.remove();
    for (const item of all()) item.classList.toggle('mine', item.dataset.author === me);
  }

  function giveBack(entry, why) {
    pendingItem(entry.nonce)?.remove();
    arrange();
    body.value = body.value ? `${entry.body}\n${body.value}` : entry.body;
    typed();
    wrong(why);
  }

  // Sends one entry: true when it is settled, false when it is to be tried again.
  async function post(entry) {
    try {
      const answer = await fetch(url, {
        method: 'POST',
        headers: { Accept: 'application/json' },
        body: new URLSearchParams(entry),
        signal: AbortSignal.timeout(15_000),
      });
      if (answer.status === 507) { // trying again would not help
        giveBack(entry, 'There is no room for more messages just now.');
        return true;
      }
      if (answer.status >= 500 || answer.status === 408 || answer.status === 429) return false;
      if (answer.ok) {
        const message = await answer.json();
        nowKnownAs(message);
        keepingPlace(() => {
          place(message);
          pendingItem(entry.nonce)?.remove();
        });
      } else {
        const problem = answer.status === 422 ? await answer.json() : {};
        giveBack(entry, problem.name ?? problem.body ?? `The server did not take this message (${answer.status}).`);
      }
      return true;
    } catch {
      return false;
    }
  }

  async function deliver() {
    if (delivering) return;
    delivering = true;
    for (let attempt = 0; outbox.length > 0;) {
      if (await post(outbox[0])) {
        outbox.shift();
        keepOutbox();
        attempt = 0;
        continue;
      }
      const waiting = pendingItem(outbox[0].nonce)?.querySelector('time');
      if (waiting) waiting.textContent = 'waiting to be sent…';
      const delay = Math.min(RETRY_MOST, RETRY_FIRST * 2 ** attempt++) * (0.5 + Math.random() / 2);
      await new Promise((resolve) => {
        wake = resolve; // being connected again is a good moment
        setTimeout(resolve, delay);
      });
    }
    delivering = false;
  }

  function newNonce() {
    return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  function say(event) {
    event.preventDefault();
    const text = body.value.trim();
    const name = byId('name')?.value.trim();
    if (!me && !name) {
      wrong('Please say what you are called.');
      byId('name').focus();
      return;
    }
    body.focus();
    if (!text) return;
    if ([...text].length > BODY_LIMIT) {
      wrong(`A message may have ${BODY_LIMIT} characters; this one has ${[...text].length}.`);
      return;
    }
    wrong('');
    const entry = { nonce: newNonce(), body: text, ...(me ? {} : { name }) };
    outbox.push(entry);
    keepOutbox();
    body.value = '';
    typed();
    showPending(entry);
    goToEnd();
    deliver();
  }

  // ---- The message box ----

  function typed() {
    const left = BODY_LIMIT - [...body.value.trim()].length;
    const counter = byId('counter');
    counter.hidden = left > BODY_LIMIT / 10;
    counter.classList.toggle('over', left < 0);
    counter.textContent = left < 0 ? `${-left} too many` : `${left} left`;
    body.setAttribute('aria-invalid', left < 0);
    if (!CSS.supports('field-sizing', 'content')) {
      body.style.height = 'auto';
      body.style.height = `${body.scrollHeight + 2}px`;
    }
  }

  const keyboard = matchMedia('(pointer: fine)').matches;
  byId('hint-keys').hidden = !keyboard;
  body.addEventListener('input', () => {
    wrong('');
    typed();
  });
  body.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && keyboard) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  if (liveUrl) form.addEventListener('submit', say); // elsewhere the form leads to the newest messages by itself
  pill.addEventListener('click', () => {
    goToEnd();
    body.focus();
  });
  log.addEventListener('scroll', seen, { passive: true });

  arrange();
  typed();
  // Who has a keyboard can begin at once. Elsewhere a keyboard would come up over the messages.
  if (keyboard && liveUrl && !location.hash && !document.querySelector('[autofocus]')) (byId('name') ?? body).focus();
  if (liveUrl) {
    outbox.forEach(showPending);
    deliver();
  }
}
