import type { Container } from 'dockerode'
import { Connector } from '../service/connector.ts'
import type { RunService } from './types.ts'

/** A workload may have a model to load before it listens. */
const READY_MS = 10 * 60_000

/** The way to the port of one running container. */
export interface ServedContainer {
  /** Resolves with the reason, for people, when the workload cannot be reached; never rejects. */
  readonly failed: Promise<string>
  close(): void
}

/** Opens the way and says so when the workload listens. */
export function serveContainer(container: Container, pid: number, service: RunService): ServedContainer {
  const closing = new AbortController()
  let connector: Connector | null = null
  const isStill = async (): Promise<boolean> => {
    const { State } = await container.inspect()
    return State.Running && State.Pid === pid
  }
  const open = async (): Promise<void> => {
    const opened = await Connector.open(pid, service.port, isStill)
    connector = opened
    if (closing.signal.aborted) return opened.close()
    await opened.untilReady(READY_MS, closing.signal)
    service.onReady(() => opened.connect())
  }
  const failed = new Promise<string>((resolve) => {
    open().catch(async (error: Error) => {
      // Of a program that has ended its end tells more.
      if (!closing.signal.aborted && (await isStill().catch(() => false))) resolve(error.message)
    })
  })
  return {
    failed,
    close() {
      closing.abort()
      connector?.close()
    },
  }
}
