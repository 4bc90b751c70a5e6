const NAMES = ['__proto__', 'constructor', 'toString', 'v', 'type', 'typ', 'signature', '']
const VALUES = [
  null,
  true,
  false,
  0,
  1,
  -1,
  2,
  3,
  255,
  256,
  65536,
  2 ** 31,
  2 ** 32,
  Number.MAX_SAFE_INTEGER,
  2 ** 53,
  1.5,
  1e21,
  '',
  ' ',
  [],
  {},
]
const MAX_NODES = 4000

/** Where every value stands: its holder and its key there. */
function placesOf(value, places = []) {
  if (typeof value !== 'object' || value === null || places.length > MAX_NODES) return places
  for (const key of Object.keys(value)) {
    places.push([value, key])
    placesOf(value[key], places)
  }
  return places
}

/** Also for `__proto__`, which assignment would take for something else. */
function set(holder, key, value) {
  Object.defineProperty(holder, key, { value, enumerable: true, writable: true, configurable: true })
}

function parse(bytes) {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    return undefined
  }
}

/**
 * Changes a few values of a JSON text, also inside of text that is JSON, DER or PEM itself. The members of a canonical document stay
 * sorted: most parsers take no other spelling. Null for bytes that are no JSON.
 */
export function mutateJson(input, random, context, times, mutate) {
  const root = parse(input)
  if (typeof root !== 'object' || root === null) return null
  const places = placesOf(root)
  if (places.length === 0) return null
  for (let i = 0; i < times; i++) {
    const [holder, key] = random.pick(places)
    changeAt(holder, key, places, random, context, mutate)
  }
  return new Uint8Array(Buffer.from(JSON.stringify(root)))
}

function changeAt(holder, key, places, random, context, mutate) {
  const choice = random.below(12)
  if (choice === 0) remove(holder, key)
  else if (choice === 1) add(holder, key, random)
  else if (choice === 2) set(holder, key, random.pick(VALUES))
  else if (choice === 3) swapWith(holder, key, random.pick(places))
  else if (choice === 4) set(holder, key, sample(random, context))
  else set(holder, key, change(holder[key], random, context, mutate))
}

/** A copy, so that a value that is put inside of itself does not make a circle. */
function clone(value) {
  return typeof value === 'object' && value !== null ? JSON.parse(JSON.stringify(value)) : value
}

function remove(holder, key) {
  if (Array.isArray(holder)) holder.splice(Number(key), 1)
  else delete holder[key]
}

function add(holder, key, random) {
  if (Array.isArray(holder)) {
    const times = 1 + random.below(1 << random.below(8))
    holder.splice(Number(key), 0, ...Array.from({ length: times }, () => clone(holder[key])))
    return
  }
  const name = random.pick(NAMES)
  set(holder, name, clone(holder[key]))
  for (const later of Object.keys(holder)
    .filter((other) => other > name)
    .sort()) {
    const value = holder[later]
    delete holder[later]
    set(holder, later, value)
  }
}

function swapWith(holder, key, [otherHolder, otherKey]) {
  const [mine, other] = [clone(holder[key]), clone(otherHolder[otherKey])]
  set(otherHolder, otherKey, mine)
  set(holder, key, other)
}

function change(value, random, context, mutate) {
  if (typeof value === 'number') return random.chance(50) ? value + (random.chance(50) ? 1 : -1) : random.pick(VALUES)
  if (typeof value === 'string') return changeText(value, random, context, mutate)
  if (Array.isArray(value) && random.chance(50)) return [...value, clone(sample(random, context))]
  return random.chance(20) ? nested(random) : random.pick(VALUES)
}

/** Deeper than anybody reads. */
function nested(random) {
  let value = null
  for (let left = 1 << random.below(9); left > 0; left--) value = random.chance(50) ? [value] : { a: value }
  return value
}

/** Any value of another input. */
function sample(random, { donor }) {
  const places = placesOf(parse(donor))
  if (places.length === 0) return random.pick(VALUES)
  const [holder, key] = random.pick(places)
  return holder[key]
}

const CODINGS = [
  [/^(?:[0-9a-f]{2}){4,}$/i, 'hex'],
  [/^[A-Za-z0-9_-]{6,}$/, 'base64url'],
  [/^[A-Za-z0-9+/]{6,}={0,2}$/, 'base64'],
]

function changeText(text, random, context, mutate) {
  const coding = CODINGS.find(([pattern]) => pattern.test(text))?.[1]
  if (coding !== undefined && !random.chance(15)) {
    return Buffer.from(mutate(new Uint8Array(Buffer.from(text, coding)), random, context, 1)).toString(coding)
  }
  if (random.chance(20)) return random.pick(context.words)
  return Buffer.from(mutate(new Uint8Array(Buffer.from(text)), random, context, 1)).toString(random.chance(90) ? 'utf8' : 'latin1')
}
