import { pino } from 'pino'
import { afterEach, expect, it } from 'vitest'
import { JobService } from '../../../../src/host/service/service.ts'
import { createServiceKey } from '../../../../src/host/service/tls-key.ts'

const warnings: string[] = []
const onWarning = ({ name }: Error): void => void warnings.push(name)
process.on('warning', onWarning)
afterEach(() => process.off('warning', onWarning))

it('dials for many clients at a time without a warning of leaked listeners, and gives all up when it closes', async () => {
  let given = 0
  const service = new JobService(
    { protocol: 'http', port: 8000, clients: [], idleMs: null },
    {
      job: 'A'.repeat(43),
      key: await createServiceKey(),
      sign: () => Promise.reject(new Error('nothing is signed here')),
      renew: () => Promise.reject(new Error('nothing is renewed here')),
      dial: (_connection, signal) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            given++
            reject(new Error('given up'))
          })
        }),
      logger: pino({ enabled: false }),
    },
  )
  service.run()
  const dials = Array.from({ length: 48 }, (_, i) => service.connect(String(i)).catch(() => 'given up'))
  await service.close()
  expect(await Promise.all(dials)).toEqual(dials.map(() => 'given up'))
  expect(given).toBe(48)
  await new Promise((resolve) => setImmediate(resolve))
  expect(warnings).toEqual([])
})
