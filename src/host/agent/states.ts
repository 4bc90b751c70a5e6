import { AttestError } from '../../verify/errors.ts'

/** What the agent is doing, as it shows to people. */
export type AgentState = 'connecting' | 'attesting' | 'idle' | 'running' | 'draining' | 'quarantined' | 'stopped'

type Link = 'connecting' | 'attesting' | 'idle' | 'quarantined'
type Work = 'free' | 'running' | 'draining' | 'stopped'
export type LinkEvent = 'connected' | 'challenged' | 'accepted' | 'rejected' | 'disconnected'
export type WorkEvent = 'job-started' | 'job-ended' | 'stop'

/**
 * How the agent stands with its gateway. `quarantined`: our evidence was refused; no job is taken until the gateway
 * asks again and accepts. A new challenge to an accepted agent changes nothing until its answer is appraised.
 */
export const LINK_TRANSITIONS: Readonly<Record<Link, Readonly<Partial<Record<LinkEvent, Link>>>>> = {
  connecting: { connected: 'attesting', disconnected: 'connecting' },
  attesting: { challenged: 'attesting', accepted: 'idle', rejected: 'quarantined', disconnected: 'connecting' },
  idle: { challenged: 'idle', accepted: 'idle', rejected: 'quarantined', disconnected: 'connecting' },
  quarantined: { challenged: 'attesting', accepted: 'idle', rejected: 'quarantined', disconnected: 'connecting' },
}

/** What the agent works on: jobs outlive a lost connection. `running` from the first of them to the end of the last. `draining`: finish them, then stop. */
export const WORK_TRANSITIONS: Readonly<Record<Work, Readonly<Partial<Record<WorkEvent, Work>>>>> = {
  free: { 'job-started': 'running', stop: 'stopped' },
  running: { 'job-ended': 'free', stop: 'draining' },
  draining: { 'job-ended': 'stopped', stop: 'draining' },
  stopped: { stop: 'stopped' },
}

/** The agent's two state machines. An event that the tables do not name is a defect of ours. */
export class AgentStates {
  readonly #onChange: (state: AgentState) => void
  #link: Link = 'connecting'
  #work: Work = 'free'

  constructor(onChange: (state: AgentState) => void) {
    this.#onChange = onChange
  }

  get current(): AgentState {
    return this.#work === 'free' ? this.#link : this.#work
  }

  /** True while our evidence stands accepted, with jobs here or without. */
  get takesJobs(): boolean {
    return this.#link === 'idle' && (this.#work === 'free' || this.#work === 'running')
  }

  link(event: LinkEvent): void {
    const next = LINK_TRANSITIONS[this.#link][event]
    if (next === undefined) throw new AttestError('INTERNAL', `${event} while ${this.#link}`)
    this.#enter(() => (this.#link = next))
  }

  work(event: WorkEvent): void {
    const next = WORK_TRANSITIONS[this.#work][event]
    if (next === undefined) throw new AttestError('INTERNAL', `${event} while ${this.#work}`)
    this.#enter(() => (this.#work = next))
  }

  #enter(change: () => void): void {
    const before = this.current
    change()
    if (this.current !== before) this.#onChange(this.current)
  }
}
