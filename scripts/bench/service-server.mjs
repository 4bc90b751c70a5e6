// The server of the service rows: a small answer, an answer that takes some 10 ms of computing, a large one.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'

const block = Buffer.alloc(64 * 1024, 7)

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://x')
  if (pathname === '/small') return response.end('{"ok":true}')
  if (pathname === '/work') {
    const until = performance.now() + 10
    const hash = createHash('sha256')
    while (performance.now() < until) hash.update(block.subarray(0, 4096))
    return response.end(hash.digest('hex'))
  }
  let left = Number(searchParams.get('bytes'))
  const more = () => {
    while (left > 0) {
      left -= block.length
      if (!response.write(block)) return void response.once('drain', more)
    }
    response.end()
  }
  more()
})
server.listen(Number(process.env.PORT ?? 8000), '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
