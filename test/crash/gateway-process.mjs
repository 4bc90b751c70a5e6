// A gateway in a process of its own, its clock a given time ahead of or behind the system's. Says where it listens and its log's key, then works until it is killed.
//   node gateway-process.mjs FOLDER OFFSET_MS
import { pino } from 'pino'
import { startGateway } from '../../dist/gateway/index.js'

const [folder, offsetMs] = process.argv.slice(2)
const clock = {
  now: () => Date.now() + Number(offsetMs),
  after: (ms, action) => {
    const timer = setTimeout(() => action(), ms).unref()
    return () => clearTimeout(timer)
  },
}
const running = await startGateway({ folder, clock, logger: pino({ level: 'warn' }, pino.destination({ dest: 2, sync: true })) })
process.stdout.write(`${running.address} ${running.logKey}\n`)
