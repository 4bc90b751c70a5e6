import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { Client, loadIdentity } from '../../../dist/client/index.js'
import { GATEWAY_FILES } from '../../../dist/gateway/config/config.js'
import { ciphertextSize, createDatasetHeader, encodeFileHead, rootOf } from '../../../dist/seal/index.js'
import { interleaveOnce } from '../interleave.mjs'
import { seconds, startDelayProxy, startTlsSink, withGateway } from '../world.mjs'

const ROUNDS = 5
const CHUNK = 256 * 1024
const PLAINTEXT = 96 * 1024 * 1024
const LEGAL = { purposes: [], legalBasis: null, categories: [], jurisdictions: [], retention: null, agreement: null }
const random = (size) => new Uint8Array(randomBytes(size))

function* chunks(bytes, from) {
  for (let at = from; at < bytes.length; at += CHUNK) yield bytes.subarray(at, at + CHUNK)
}

/** One upload as a client makes it, from memory: begin, bytes, commit. The gateway stores it durably and checks its root before it answers. */
async function upload(client, { header, root, file }) {
  const id = await client.beginUpload(header, root, file.length)
  await client.upload(id, { sizeBytes: file.length, from: (offset) => chunks(file, offset) })
  await client.commitUpload(id)
}

/** The same bytes down a TLS 1.3 socket with the same certificates, to a process that throws them away. */
async function bare(port, tls, file) {
  const socket = connect({ port, host: '127.0.0.1', servername: '', ca: tls.ca, cert: tls.cert, key: tls.key, minVersion: 'TLSv1.3' })
  await once(socket, 'secureConnect')
  for (const chunk of chunks(file, 0)) if (!socket.write(chunk)) await once(socket, 'drain')
  socket.end()
  await once(socket, 'data')
}

/** @param roundTripMs - Added by a proxy process in front of both ends; null for none. */
function measure(roundTripMs) {
  return withGateway(async ({ folders, owner }) => {
    const { tls } = await loadIdentity(folders.owner)
    const [cert, key, ca] = [GATEWAY_FILES.tlsCert, GATEWAY_FILES.tlsKey, GATEWAY_FILES.ca].map((name) => join(folders.gateway, name))
    const sink = await startTlsSink(cert, key, ca)
    const ends = [Number(folders.address.split(':')[1]), sink.port]
    const proxies = roundTripMs === null ? [] : await Promise.all(ends.map((port) => startDelayProxy(port, roundTripMs)))
    const [gateway, discard] = proxies.length === 0 ? ends : proxies.map((proxy) => proxy.port)
    const client = new Client(`127.0.0.1:${gateway}`, tls)
    try {
      const stream = random(ciphertextSize(PLAINTEXT))
      const root = Buffer.from((await rootOf([stream])).root).toString('base64url')
      const newFile = async () => {
        const { bytes } = await createDatasetHeader({
          content: 'file',
          plaintextSize: PLAINTEXT,
          owner: owner.grantThumbprint,
          legal: LEGAL,
          random,
        })
        return { header: bytes, root, file: Buffer.concat([encodeFileHead(bytes), stream]) }
      }
      const ours = async () => {
        const dataset = await newFile()
        return stream.length / 1e6 / (await seconds(() => upload(client, dataset)))
      }
      return await interleaveOnce(ours, async () => stream.length / 1e6 / (await seconds(() => bare(discard, tls, stream))), ROUNDS)
    } finally {
      client.close()
      for (const helper of [sink, ...proxies]) helper.stop()
    }
  })
}

export const direct = () => measure(null)
export const roundTrip20 = () => measure(20)
