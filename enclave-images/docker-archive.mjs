// Makes a docker-archive (what `docker load` reads) whose bytes depend on its content alone: times are 1970, entries are
// sorted by the caller, owners are root. The engine's image id is the SHA-256 of the configuration, so it is known offline.
import { createHash } from 'node:crypto'
import { pack } from 'tar-stream'

const EPOCH = '1970-01-01T00:00:00Z'
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

async function tar(entries) {
  const stream = pack()
  const chunks = []
  const done = (async () => {
    for await (const chunk of stream) chunks.push(chunk)
  })()
  for (const { name, mode = 0o644, type = 'file', linkname, content = Buffer.alloc(0) } of entries) {
    const size = type === 'file' ? content.length : 0
    stream.entry(
      { name, mode, type, size, ...(linkname && { linkname }), mtime: new Date(0), uid: 0, gid: 0, uname: '', gname: '' },
      content,
    )
  }
  stream.finalize()
  await done
  return Buffer.concat(chunks)
}

/**
 * @param {{ files: { name: string, mode?: number, type?: string, linkname?: string, content?: Uint8Array }[], entrypoint: string[], config?: object }} image
 * @returns {Promise<{ digest: string, archive: Buffer }>} `digest` = `sha256:` and the SHA-256 of the configuration.
 */
export async function dockerArchive({ files, entrypoint, config = {} }) {
  const layer = await tar(files)
  const diffId = `sha256:${sha256(layer)}`
  const configuration = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      config: { Entrypoint: entrypoint, User: '65532:65532', WorkingDir: '/', ...config },
      created: EPOCH,
      history: [{ created: EPOCH, created_by: 'sealgate' }],
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [diffId] },
    }),
  )
  const id = sha256(configuration)
  const manifest = Buffer.from(JSON.stringify([{ Config: `${id}.json`, RepoTags: null, Layers: ['layer.tar'] }]))
  const archive = await tar([
    { name: `${id}.json`, content: configuration },
    { name: 'layer.tar', content: layer },
    { name: 'manifest.json', content: manifest },
  ])
  return { digest: `sha256:${id}`, archive }
}
