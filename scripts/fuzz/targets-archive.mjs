import { createHash } from 'node:crypto'
import { assertRoundTrip, Violation } from './invariants.mjs'
import { archived } from './seeds.mjs'

/** The head alone: an archive of nothing, once its two numbers are zero. */
const HEAD = 28

export const archiveTargets = [
  {
    name: 'archive',
    async open({ load }) {
      const { encodeManifest, openArchive, readContents } = await load('seal/index.js')
      const run = async (input) => {
        const size = 1 + (input.length % 97)
        const chunks = Array.from({ length: Math.ceil(input.length / size) }, (_, i) => input.subarray(i * size, (i + 1) * size))
        const archive = await openArchive(chunks, input.length)
        assertRoundTrip(archive.manifest, encodeManifest(archive.entries))
        const parts = [archive.manifest]
        for await (const { entry, content } of readContents(archive, () => createHash('sha256'))) {
          const names = entry.path.split('/')
          if (names.some((name) => name === '' || name === '.' || name === '..'))
            throw new Violation('escape', 'a path that leaves its folder')
          if (content !== undefined) for await (const part of content) parts.push(part)
        }
        assertRoundTrip(input, Buffer.concat(parts))
      }
      const empty = Buffer.concat([archived().subarray(0, HEAD - 8), Buffer.alloc(8)])
      return { seeds: [new Uint8Array(archived()), new Uint8Array(empty)], run }
    },
  },
]
