import { mutateBytes } from './mutate-bytes.mjs'
import { mutateDer } from './mutate-der.mjs'
import { mutateJson } from './mutate-json.mjs'

const OPEN_BRACE = 0x7b
const OPEN_BRACKET = 0x5b
const SEQUENCE = 0x30
const DASH = 0x2d

/** One to a few changes, as a person would make them: inside of the structure where there is one, blindly else. */
export function mutate(input, random, context) {
  return mutateTimes(input, random, context, 1 + random.below(1 << random.below(4))).subarray(0, context.maxSize)
}

function mutateTimes(input, random, context, times) {
  const changed = random.chance(35) ? null : structured(input, random, context, times)
  if (changed !== null) return changed
  let out = input
  for (let i = 0; i < times; i++) out = mutateBytes(out, random, context)
  return out
}

function structured(input, random, context, times) {
  switch (input[0]) {
    case OPEN_BRACE:
    case OPEN_BRACKET:
      return mutateJson(input, random, context, times, mutateTimes)
    case SEQUENCE:
      return mutateDer(input, random, context, times, mutateTimes)
    case DASH:
      return mutatePem(input, random, context, times)
    default:
      return null
  }
}

const BLOCK = /(-----BEGIN [A-Z0-9 ]+-----\n)([A-Za-z0-9+/=\n]+)(-----END [A-Z0-9 ]+-----)/g

/** Changes what one block holds. */
function mutatePem(input, random, context, times) {
  const text = Buffer.from(input).toString('latin1')
  const blocks = [...text.matchAll(BLOCK)]
  if (blocks.length === 0) return null
  const { index, 0: whole, 1: head, 2: body, 3: foot } = random.pick(blocks)
  const content = mutateTimes(new Uint8Array(Buffer.from(body, 'base64')), random, context, times)
  const lines = Buffer.from(content)
    .toString('base64')
    .replace(/.{1,64}/g, '$&\n')
  const block = `${head}${lines}${foot}`
  return new Uint8Array(Buffer.from(text.slice(0, index) + block + text.slice(index + whole.length), 'latin1'))
}
