/** What a target throws when an input breaks one of its promises. */
export class Violation extends Error {
  constructor(kind, message) {
    super(message)
    this.name = 'Violation'
    this.kind = kind
  }
}

/** One accepted spelling: what was read must be written back as it was. */
export function assertRoundTrip(input, encoded) {
  if (Buffer.compare(input, encoded) !== 0)
    throw new Violation('round-trip', `read and written again: ${encoded.length} bytes for ${input.length}`)
}

/** Runs `work` while every signature verifies, see sandbox.mjs. */
export async function believing(work) {
  globalThis.__believe = true
  try {
    return await work()
  } finally {
    globalThis.__believe = false
  }
}

/**
 * Holds a verifier to its promise: what it accepts are claims of a seed, anything else is forged. Every input is judged as if its
 * signatures were right, so that what comes after them is reached; what passes then is judged again in earnest, as is one input in
 * eight besides. One in 64 is judged with and without facts remembered from inputs before it: the answer must not differ.
 * @param verify - (input, cache) to a verdict.
 * @param proven - Claims to what of them may not be forged.
 */
export function verdictTarget({ seeds, verify, proven, createCache }) {
  const [credulous, earnest] = [createCache(), createCache()]
  const provenBy = (verdict) => (verdict.decision === 'accept' ? JSON.stringify(proven(verdict.claims)) : null)
  const genuine = provenByAny(seeds, async (seed) => provenBy(await verify(seed, earnest)))
  return async (input) => {
    const supposed = await believing(() => verify(input, credulous))
    // Verdicts are printed as JSON, so they have to be able to.
    JSON.stringify(supposed)
    const turn = input.length === 0 ? 0 : input[input.length >> 1]
    if (supposed.decision !== 'accept' && turn % 8 !== 0) return
    const verdict = await verify(input, earnest)
    const key = provenBy(verdict)
    if (key !== null && !(await genuine).has(key)) throw new Violation('forged', `accepted with claims of no seed: ${key}`)
    if (turn % 64 !== 0) return
    const afresh = await verify(input, createCache())
    if (JSON.stringify(afresh) !== JSON.stringify(verdict)) throw new Violation('cache', 'another verdict without remembered facts')
  }
}

/** Without an accepted seed the promise would be an empty one. */
async function provenByAny(seeds, keyOf) {
  const keys = new Set()
  for (const seed of seeds) keys.add(await keyOf(seed))
  keys.delete(null)
  if (keys.size === 0) throw new Error('no seed is accepted')
  return keys
}
