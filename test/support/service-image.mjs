/** The workload of service tests: an ordinary HTTP server that knows nothing of where it runs. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'

const json = (response, value, status = 200) => {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(value))
}

async function bodyOf(request) {
  const parts = []
  for await (const part of request) parts.push(part)
  return Buffer.concat(parts)
}

const routes = {
  'POST /v1/chat/completions': async (request, response) => {
    const { messages, stream } = JSON.parse(await bodyOf(request))
    const words = `you said ${messages.at(-1).content}`.split(' ')
    if (!stream) {
      return json(response, {
        object: 'chat.completion',
        choices: [{ index: 0, message: { role: 'assistant', content: words.join(' ') } }],
      })
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const word of words) {
      response.write(`data: ${JSON.stringify({ object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content: word } }] })}\n\n`)
      // The next word goes out when the client has shown that it has this one.
      await new Promise((resolve) => (globalThis.next = resolve))
    }
    response.end('data: [DONE]\n\n')
  },
  'POST /next': async (request, response) => {
    await bodyOf(request)
    globalThis.next?.()
    json(response, {})
  },
  'POST /upload': async (request, response) => {
    const hash = createHash('sha256')
    let bytes = 0
    for await (const part of request) {
      hash.update(part)
      bytes += part.length
    }
    json(response, { bytes, sha256: hash.digest('hex') })
  },
  'GET /download': (_request, response, { searchParams }) => {
    let left = Number(searchParams.get('bytes'))
    const block = Buffer.alloc(65536, 7)
    response.writeHead(200, { 'content-type': 'application/octet-stream' })
    const more = () => {
      while (left > 0) {
        const size = Math.min(left, block.length)
        left -= size
        if (!response.write(block.subarray(0, size))) return void response.once('drain', more)
      }
      response.end()
    }
    more()
  },
  'GET /data': (_request, response) =>
    json(response, { lines: existsSync('/in/data.csv') ? readFileSync('/in/data.csv', 'utf8').split('\n').length : 0 }),
  'GET /network': async (_request, response) => {
    const reached = await new Promise((resolve) => {
      const socket = connect({ host: '192.0.2.1', port: 80, timeout: 2000 })
      socket.on('connect', () => resolve('connected'))
      socket.on('timeout', () => resolve('timeout'))
      socket.on('error', (error) => resolve(error.code))
    })
    json(response, { interfaces: Object.keys(networkInterfaces()), reached })
  },
  'GET /headers': (request, response) => json(response, { rawHeaders: request.rawHeaders, url: request.url }),
  'GET /spoof': (_request, response) => {
    response.writeHead(200, { 'Sealgate-Exchange': '4000000000' })
    response.end('spoofed')
  },
  'GET /exit': (_request, response) => {
    response.end('bye', () => process.exit(0))
  },
}

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://inside')
  const route = routes[`${request.method} ${url.pathname}`]
  if (route === undefined) return json(response, { error: 'no such path' }, 404)
  Promise.resolve(route(request, response, url)).catch(() => response.destroy())
})
server.listen(Number(process.env.PORT ?? 8000), '127.0.0.1')
