const MAX_DEPTH = 24

/** DER as a tree, or null. Octet and bit strings that hold one value are opened like any other. */
export function parseTree(bytes, depth = 0) {
  const nodes = []
  for (let pos = 0; pos < bytes.length; ) {
    const tag = bytes[pos]
    let length = bytes[pos + 1]
    let start = pos + 2
    if (length === undefined || depth > MAX_DEPTH) return null
    if (length >= 0x80) {
      const size = length & 0x7f
      if (size === 0 || size > 3 || start + size > bytes.length) return null
      length = 0
      for (let i = 0; i < size; i++) length = length * 256 + bytes[start + i]
      start += size
    }
    if (start + length > bytes.length) return null
    nodes.push(nodeOf(tag, bytes.subarray(start, start + length), depth))
    pos = start + length
  }
  return nodes
}

function nodeOf(tag, content, depth) {
  const prefix = tag === 0x03 ? content.subarray(0, 1) : new Uint8Array(0)
  const inner = content.subarray(prefix.length)
  const isWrapper = (tag === 0x03 || tag === 0x04) && inner[0] === 0x30
  const children = (tag & 0x20) !== 0 || isWrapper ? parseTree(inner, depth + 1) : null
  return children === null ? { tag, content, children: null, prefix: null } : { tag, content: null, children, prefix }
}

function encodeTree(nodes) {
  return Buffer.concat(nodes.map(encodeNode))
}

function encodeNode({ tag, content, children, prefix }) {
  const body = children === null ? content : Buffer.concat([prefix, encodeTree(children)])
  const n = body.length
  const length =
    n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : n < 0x10000 ? [0x82, n >> 8, n & 0xff] : [0x83, n >> 16, (n >> 8) & 0xff, n & 0xff]
  return Buffer.concat([Uint8Array.of(tag, ...length), body])
}

/** A copy, so that a node that is put inside of itself does not make a circle. */
function clone(node) {
  return parseTree(encodeNode(node))?.[0] ?? { tag: 0x05, content: new Uint8Array(0), children: null, prefix: null }
}

function wrapped(node, times) {
  let outer = node
  for (let i = 0; i < times; i++) outer = { tag: 0x30, content: null, children: [outer], prefix: new Uint8Array(0) }
  return outer
}

/** Every list of nodes in the tree, so that one of its members can be changed in place. */
function listsOf(nodes, lists = []) {
  lists.push(nodes)
  for (const { children } of nodes) if (children !== null) listsOf(children, lists)
  return lists
}

const TAGS = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x16, 0x17, 0x18, 0x30, 0x31, 0xa0, 0xa1, 0xa2, 0xa3, 0x80, 0x1f, 0x00]

/** Changes a few values and makes all lengths around them fit again. Null for bytes that are no DER. */
export function mutateDer(input, random, context, times, mutate) {
  const tree = parseTree(input)
  if (tree === null || tree.length === 0) return null
  for (let i = 0; i < times; i++) changeOne(tree, random, context, mutate)
  return new Uint8Array(encodeTree(tree))
}

function changeOne(tree, random, context, mutate) {
  const lists = listsOf(tree).filter((list) => list.length > 0)
  if (lists.length === 0) return
  const list = random.pick(lists)
  const i = random.below(list.length)
  const node = list[i]
  const choice = random.below(9)
  if (choice === 0) list.splice(i, 1)
  else if (choice === 1) list.splice(i, 0, clone(node))
  else if (choice === 2) list[i] = { ...node, tag: random.pick(TAGS) }
  else if (choice === 3) list.splice(i, 0, clone(random.pick(random.pick(lists))))
  else if (choice === 4) list[i] = clone(random.pick(random.pick(lists)))
  else if (choice === 5) list[i] = { ...node, content: new Uint8Array(0), children: null }
  else if (choice === 6) list[i] = wrapped(node, 1 << random.below(6))
  else list[i] = { ...node, content: mutate(node.content ?? encodeTree(node.children), random, context, 1), children: null }
}
