
'use strict';
(() => {
  // The protocol: a byte with the length of the body, then the body.
  const BODY_BYTES_MAX = 255;
  // By convention of clients a message is 'name: text'.
  const SEPARATOR = ': ';
  const NAME_CHARACTERS_MAX = 32;
  // Older messages leave the page, so that it does not grow without end.
  const SHOWN_MAX = 1000;
  const PAUSE_MIN = 500;
  const PAUSE_MAX = 30000;
  // What a token follows in the list of subprotocols: scripts cannot set other headers.
  const SUBPROTOCOL = 'zillions';
  const TOKEN_PREFIX = 'zillions.bearer.';

  const element = (id) => document.getElementById(id);
  const [state, retry, access, token, log, unread, compose, name, text, send, room] =
    ['state', 'retry', 'access', 'token', 'log', 'unread', 'compose', 'name', 'text', 'send', 'room']
      .map(element);
  const needsToken = document.body.dataset.token === 'needed';
  const encoder = new TextEncoder();
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  let socket = null;
  let pause = PAUSE_MIN;
  let timer = null;
  let wasOpen = false;
  let unreadCount = 0;

  // Storage may be forbidden: then nothing is remembered.
  const remember = (storage, key, value) => {
    try { window[storage].setItem(key, value); } catch { /* Not remembered. */ }
  };
  const recall = (storage, key) => {
    try { return window[storage].getItem(key) || ''; } catch { return ''; }
  };

  // Messages.

  // Characters that would move or hide others are shown by their numbers.
  const visible = (string) => string.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u{${character.codePointAt(0).toString(16)}}`,
  );

  const span = (kind, content) => {
    const part = document.createElement('bdi');
    part.className = kind;
    part.textContent = content;
    return part;
  };

  const nameIn = (string) => {
    const end = string.indexOf(SEPARATOR);
    const length = [...string.slice(0, Math.max(end, 0))].length;
    return length > 0 && length <= NAME_CHARACTERS_MAX ? string.slice(0, end) : null;
  };

  const parts = (body) => {
    let string;
    try {
      string = decoder.decode(body);
    } catch {
      const bytes = [...body].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
      return [span('bytes', `not text, ${body.length} bytes: ${bytes}`)];
    }
    if (string === '') return [span('note', '(empty message)')];
    const sender = nameIn(string);
    if (sender === null) return [span('said', visible(string))];
    const said = string.slice(sender.length + SEPARATOR.length);
    return [span('name', visible(sender)), SEPARATOR, span('said', visible(said))];
  };

  const line = (kind, content) => {
    const now = new Date();
    const time = document.createElement('time');
    time.dateTime = now.toISOString();
    time.textContent = now.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    const item = document.createElement('li');
    item.className = kind;
    item.append(time, ...content);
    return item;
  };

  const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;

  const showUnread = () => {
    unread.hidden = unreadCount === 0;
    unread.textContent = unreadCount === 1 ? '1 new message' : `${unreadCount} new messages`;
  };

  const toEnd = () => {
    log.scrollTop = log.scrollHeight;
    unreadCount = 0;
    showUnread();
  };

  const show = (items) => {
    const follows = isAtEnd();
    log.append(...items.slice(-SHOWN_MAX));
    while (log.childElementCount > SHOWN_MAX) log.firstElementChild.remove();
    if (follows) return toEnd();
    unreadCount += items.length;
    showUnread();
  };

  const note = (content) => show([line('note', [content])]);

  // A message of the server has whole frames, one or many.
  const received = (bytes) => {
    const items = [];
    for (let at = 0; at < bytes.length; at += 1 + bytes[at]) {
      items.push(line('message', parts(bytes.subarray(at + 1, at + 1 + bytes[at]))));
    }
    show(items);
  };

  // The connection.

  const setState = (kind, content) => {
    if (state.dataset.state === kind && state.textContent === content) return;
    state.dataset.state = kind;
    state.textContent = content;
    retry.hidden = kind !== 'waiting';
    checkText();
  };

  const opened = () => {
    pause = PAUSE_MIN;
    access.hidden = true;
    setState('connected', 'Connected');
    if (wasOpen) note('Connected again. What was said meanwhile is not shown.');
    wasOpen = true;
  };

  const closed = (event) => {
    if (event.target !== socket) return;
    socket = null;
    const wasConnected = state.dataset.state === 'connected';
    if (needsToken && !wasConnected) access.hidden = false;
    const seconds = Math.max(1, Math.round(pause / 1000));
    const what = wasConnected ? 'Disconnected' : 'Cannot connect';
    const advice = needsToken && !wasConnected ? ' (is the token right?)' : '';
    setState('waiting', `${what}${advice}; next try in ${seconds} s`);
    // Not all at once, when a server has ended that many were connected to.
    timer = setTimeout(connect, pause * (0.75 + Math.random() / 2));
    pause = Math.min(pause * 2, PAUSE_MAX);
  };

  const connect = () => {
    clearTimeout(timer);
    if (socket) return;
    if (needsToken && token.value === '') {
      access.hidden = false;
      setState('waiting', 'An access token is needed');
      retry.hidden = true;
      return;
    }
    setState('connecting', 'Connecting …');
    const address = new URL('/', location.href);
    address.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const protocols = needsToken ? [SUBPROTOCOL, TOKEN_PREFIX + token.value] : [SUBPROTOCOL];
    try {
      socket = new WebSocket(address, protocols);
    } catch {
      access.hidden = !needsToken;
      setState('waiting', 'The token has characters that a token cannot have');
      return;
    }
    socket.binaryType = 'arraybuffer';
    socket.addEventListener('open', opened);
    socket.addEventListener('close', closed);
    socket.addEventListener('message', (event) => received(new Uint8Array(event.data)));
  };

  // Writing.

  const body = () => {
    const sender = name.value.trim();
    return encoder.encode(sender === '' ? text.value : sender + SEPARATOR + text.value);
  };

  function checkText() {
    const left = BODY_BYTES_MAX - body().length;
    const isOver = left < 0 && text.value !== '';
    const bytes = (number) => (number === 1 ? '1 byte' : `${number} bytes`);
    room.textContent = isOver ? `${bytes(-left)} too long` : `${bytes(left)} left`;
    room.className = isOver ? 'over' : '';
    room.setAttribute('aria-live', isOver ? 'assertive' : 'off');
    text.setAttribute('aria-invalid', String(isOver));
    send.disabled = isOver || text.value === '' || state.dataset.state !== 'connected';
  }

  const submit = (event) => {
    event.preventDefault();
    checkText();
    if (send.disabled) return;
    const message = body();
    const frame = new Uint8Array(1 + message.length);
    frame[0] = message.length;
    frame.set(message, 1);
    socket.send(frame);
    text.value = '';
    checkText();
    toEnd();
  };

  name.value = recall('localStorage', 'zillions-name');
  token.value = recall('sessionStorage', 'zillions-token');
  name.addEventListener('change', () => remember('localStorage', 'zillions-name', name.value));
  for (const field of [name, text]) field.addEventListener('input', checkText);
  compose.addEventListener('submit', submit);
  log.addEventListener('scroll', () => { if (isAtEnd() && unreadCount > 0) toEnd(); });
  unread.addEventListener('click', () => { toEnd(); log.focus(); });
  const now = () => { pause = PAUSE_MIN; connect(); };
  retry.addEventListener('click', now);
  window.addEventListener('online', now);
  access.addEventListener('submit', (event) => {
    event.preventDefault();
    remember('sessionStorage', 'zillions-token', token.value);
    now();
  });
  checkText();
  connect();
})();
