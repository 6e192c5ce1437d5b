// All words of the dashboard.
import type { Activity, Severity, Source } from './api/generated';
import type { View } from './state/route';
import type { Theme } from './state/theme';

export const number = (value: number, digits = 0) =>
  value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Three digits that matter and a unit prefix. */
export const short = (value: number) => value.toLocaleString('en', { notation: 'compact', maximumSignificantDigits: 3 });

export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** The time of day in UTC, as the API gives it. */
export const clock = (time: string) => time.slice(11, 23);

const plural = (count: number, one: string, many: string) => `${number(count)} ${count === 1 ? one : many}`;

export const texts = {
  product: 'Invispose',
  skip: 'Skip to the view',
  site: 'Site',
  views: { live: 'Live', signal: 'Signal', history: 'History', sites: 'Sites', system: 'System', explore: 'Explore' } satisfies Record<View, string>,
  viewsLabel: 'Views',
  themes: { auto: 'Colours: as the system', dark: 'Colours: dark', light: 'Colours: light' } satisfies Record<Theme, string>,
  missing: '–',
  signIn: {
    token: 'Token or API key',
    open: 'Sign in',
    how: 'This server asks who you are. A token comes from `invispose token create --scope …`; it is forgotten with this tab.',
    refused: 'This token is not taken: it is wrong, has expired or was revoked.',
  },

  connection: {
    connecting: 'connecting',
    connected: 'connected',
    waiting: (seconds: number) => `not connected, next try in ${Math.ceil(seconds)} s`,
  },
  health: {
    good: 'healthy',
    bad: (issues: number) => plural(issues, 'issue', 'issues'),
    unknown: 'health not known',
  },

  sources: { LIVE: 'live', REPLAY: 'replay', SIMULATED: 'simulated' } satisfies Record<Source, string>,
  sourcesLong: {
    LIVE: 'Received from the air as it happens',
    REPLAY: 'Read from a capture or a recording',
    SIMULATED: 'Made by the simulator: these people do not exist',
  } satisfies Record<Source, string>,
  noSource: 'no data',
  noSourceLong: 'No frame of this site has arrived',
  noModel: 'no pose model',
  noModelLong: 'No evaluation has earned poses here: presence and motion only',
  modelLong: 'The network that estimated the poses',
  calibrated: 'calibrated',
  calibratedLong: 'An evaluation on this very site showed that the model beats a mean pose',
  uncalibrated: 'not calibrated',
  uncalibratedLong: 'No evaluation on this very site',
  experimental: 'experimental',
  experimentalLong: 'Poses that no evaluation has earned, because the operator asked for them',
  provenance: 'On what this rests',

  old: {
    age: (seconds: number) => `${duration(seconds)} old`,
    ageUnknown: (time: string) => `from an earlier run, ${time} UTC`,
    explanation: 'not the present',
  },

  scene: {
    label: 'Room in three dimensions. Arrow keys turn, plus and minus zoom, 0 goes back.',
    noWebgl: 'This browser cannot draw in three dimensions; the plan shows the same.',
    waiting: 'No frame has arrived yet',
    person: (id: string) => `Person ${id}`,
    back: 'Whole room',
    followed: (id: string) => `Following person ${id}`,
    hint: 'drag to turn · wheel to zoom',
    options: { trails: 'Trails', links: 'Links', zones: 'Zones' },
    optionsLabel: 'What the room shows',
  },

  verdict: {
    nobody: 'Nobody',
    nobodyLong: 'The signal is as quiet as the empty room’s.',
    somebody: 'Somebody',
    somebodyLong: 'The signal says that somebody is here. Who and where is not known.',
    somebodyExperimental: 'The signal says that somebody is here; the model shows nobody with enough confidence.',
    unknown: 'Not known yet',
    unknownLong: 'The quiet room’s signal is not learned yet, or no packets arrive.',
    waiting: 'No data',
    waitingLong: 'No frame of this site has arrived.',
    persons: (count: number) => plural(count, 'person', 'people'),
    motion: 'Motion',
    motionLong: 'Motion over the quiet room’s baseline. 1 is as much as the quiet room ever shows.',
    coverage: 'Links heard',
    coverageLong: 'Share of the links whose packets arrived',
    breathing: 'Breathing',
    breathingLong: (quality: string) => `Breaths a minute of somebody who keeps still, over the last half minute. Quality ${quality}.`,
    breathingSeveral: 'One of these people.',
    perMinute: (rate: number) => `${rate.toFixed(1)}/min`,
  },

  events: {
    title: 'What happened',
    none: 'Nothing within the last ten minutes.',
    show: 'Show this moment',
    suppressed: (count: number) => `and ${plural(count, 'more like it', 'more like it')} held back`,
    kinds: {
      'person.detected': 'came',
      'person.lost': 'is gone',
      'person.entered_zone': 'entered',
      'person.left_zone': 'left',
      'person.fall_detected': 'fell',
      'person.fall_recovered': 'is up again',
      'person.activity_detected': 'is',
      'presence.started': 'Somebody is there',
      'presence.ended': 'Nobody is there any more',
      'router.connected': 'Packets arrive of',
      'router.disconnected': 'No packets any more of',
      'system.started': 'The pipeline runs',
      'system.stopped': 'The pipeline has ended',
      'system.recovered': 'Fault over:',
      'alert.high_occupancy': 'Too many people in',
      'alert.restricted_zone_breach': 'is where nobody may be:',
      'alert.system_error': 'Fault:',
      'alert.performance_degraded': 'Does not keep up:',
      'alert.opened': 'Alert',
      'alert.acknowledged': 'Alert acknowledged',
      'alert.escalated': 'Alert escalated: nobody acknowledged it',
      'alert.resolved': 'Alert is over',
      'analytics.threshold_exceeded': 'over a limit in',
      'analytics.report_generated': 'Report is ready:',
    } as Record<string, string>,
    /** The figures behind an event. */
    evidence: (e: Record<string, unknown>): string => {
      const figure = (name: string, digits: number) => (typeof e[name] === 'number' ? (e[name] as number).toFixed(digits) : '?');
      switch (e.type) {
        case 'stay': return ` after ${duration(Number(e.dwell_s))}`;
        case 'activity': return ` ${String(e.activity)}`;
        case 'occupancy': return ` · ${figure('current', 0)} of at most ${figure('maximum', 0)}`;
        case 'threshold': return ` · ${String(e.metric)} ${figure('value', 1)}, limit ${figure('limit', 1)}`;
        case 'presence': return ` · motion ${figure('motion_level', 1)}`;
        case 'fault': return ` · ${String(e.message)}`;
        case 'fall': return ` · ${figure('descent_m', 1)} m down`;
        default: return '';
      }
    },
  },

  person: {
    activities: {
      STANDING: 'standing', WALKING: 'walking', SITTING: 'sitting', LYING: 'lying', WAVING: 'waving', FALLING: 'falling',
    } satisfies Record<Activity, string>,
    noActivity: 'activity not known',
    noZone: 'in no zone',
    confidence: 'confidence',
    speed: (ms: number) => `${ms.toFixed(1)} m/s`,
    position: (x: number, y: number) => `${x.toFixed(1)}, ${y.toFixed(1)} m`,
    follow: (id: string) => `Follow person ${id}`,
    people: 'People',
  },

  alerts: {
    title: 'Alerts',
    open: (count: number) => plural(count, 'alert', 'alerts'),
    severities: { INFO: 'Note', LOW: 'Low', MEDIUM: 'Medium', HIGH: 'High', CRITICAL: 'Critical' } satisfies Record<Severity, string>,
    since: (time: string, events: number) => `since ${time} · ${plural(events, 'event', 'events')}`,
    seen: (by: string) => `seen by ${by}`,
    acknowledge: 'Acknowledge',
    resolve: 'It is over',
    name: 'Your name',
  },

  signal: {
    none: 'No link is heard.',
    explanation: 'The newest window of each link. Pictures grow downwards into the past; light is strong, each picture by its own strongest value.',
    packets: 'Packets',
    perSecond: (rate: number) => `${number(rate, 1)}/s`,
    received: 'Steps with a packet',
    receivedLong: 'Share of the steps of the window’s time grid in which a packet came; the rest was lost, late or never sent',
    rssi: 'Received power',
    dbm: (value: number) => `${number(value, 1)} dBm`,
    layout: 'Antennas × subcarriers',
    antennas: (tx: number, rx: number, subcarriers: number) => `${tx} × ${rx} × ${subcarriers}`,
    channel: 'Channel',
    mhz: (centre: number, width: number | null) => (width === null ? `${number(centre)} MHz` : `${number(centre)} MHz, ${width} wide`),
    placed: 'Place',
    placedLong: 'Only links whose places are configured take part in poses; all take part in presence and motion',
    known: 'known',
    unknown: 'not known',
    amplitude: 'Amplitude over subcarriers',
    amplitudeOf: (link: string) => `Amplitude of ${link} over its subcarriers, the newest packet on top`,
    doppler: 'Doppler spectrum',
    dopplerOf: (link: string) => `Doppler spectrum of ${link}, the newest window on top`,
    span: (hertz: number) => `from −${number(hertz)} to ${number(hertz)} Hz`,
    onGpu: 'The GPU keeps it.',
  },

  plan: {
    title: 'Floor plan',
    label: 'Floor plan',
    transmitter: (id: string) => `Transmitter of ${id}`,
    receiver: (id: string) => `Receiver of ${id}`,
  },
  skeletons: { title: 'Seen from the front', label: 'Skeletons seen from the front of the room' },

  /** For screen readers, said when it changes. */
  announcement: {
    frame: (verdict: string, people: string[]) => [verdict, ...people].join('. '),
    person: (id: string, activity: string, zone: string) => `Person ${id}: ${activity}, ${zone}`,
    old: 'What is shown is not the present',
  },

  history: {
    title: 'The past',
    span: 'Span',
    spans: { quarter: '15 minutes', hour: 'hour', day: 'day', week: 'week', month: '30 days' },
    last: (span: string) => `Last ${span}`,
    load: 'Load anew',
    loading: 'Loading …',
    empty: 'Nothing of this site is kept from this time.',
    away: (reason: string) => `The past cannot be read: ${reason}`,
    choose: 'Choose a moment to see it again',
    people: 'people, mean',
    most: 'people, most',
    motion: 'motion',
    time: (seconds: number, day: boolean) => (day ? new Date(seconds * 1000).toISOString().slice(5, 16).replace('T', ' ') : new Date(seconds * 1000).toISOString().slice(11, 16)),

    minutesTitle: 'Seen again',
    play: 'Play',
    pause: 'Pause',
    speed: 'Speed',
    earlier: 'Earlier',
    later: 'Later',
    position: 'Position in time',
    noFrames: 'No frame is kept from this moment.',
    frames: (count: number, seconds: number) => `${plural(count, 'frame', 'frames')} over ${duration(seconds)}`,
    persons: 'people',

    occupancy: 'Who was there',
    occupied: 'somebody, with a place',
    present: 'somebody, by the signal',
    zones: 'Occupied',
    zonesLong: 'Share of the time in which somebody was in the zone, and the mean number of people',
    zone: (share: string, mean: string) => `${share} % · ${mean}`,
    dwell: 'Stays',
    dwellLong: (many: boolean) => `How long people stayed in a zone before they left it: median and longest.${many ? ' Of the first stays only: there are more.' : ''}`,
    stay: (count: number, median: number, longest: number) => `${plural(count, 'stay', 'stays')} · ${duration(median)} · ${duration(longest)}`,
    noStays: 'Nobody left a zone.',
    activities: 'What people did',
    noActivities: 'No activity is known.',
    heat: 'Where people were',
    heatLong: 'Frames that showed somebody in a square of the floor; no colour: nobody was seen there.',
    events: 'What happened',
    eventsMore: (count: number) => `The first ${number(count)} events; there are more.`,
    important: 'From this severity',
    severities: { INFO: 'all', LOW: 'low', MEDIUM: 'medium', HIGH: 'high', CRITICAL: 'critical' } satisfies Record<Severity, string>,
    export: 'Frames as a file',
    exportLong: 'All frames of the chosen span, as they are kept.',
    formats: { csv: 'CSV', parquet: 'Parquet', jsonl: 'JSON lines' },
  },

  sites: {
    room: 'Room',
    size: (x: number, y: number, z: number) => `${x.toFixed(1)} × ${y.toFixed(1)} m, ${z.toFixed(1)} m high`,
    zones: 'Zones',
    links: 'Links',
    noRoom: 'The size of the room is not configured: presence and motion only.',
    noZones: 'There are no zones.',
    noLinks: 'No link’s place is known: links count for presence and motion only.',
    zone: 'Zone',
    area: 'Area',
    link: 'Link',
    transmitter: 'Transmitter (x, y, z)',
    receiver: 'Receiver (x, y, z)',
    length: 'Length',
    metres: (value: number) => `${value.toFixed(2)} m`,
    squareMetres: (value: number) => `${value.toFixed(1)} m²`,
    point: (x: number, y: number, z: number) => `${x.toFixed(2)}, ${y.toFixed(2)}, ${z.toFixed(2)}`,
    id: 'Id',
    origin: 'From',
    fromFile: 'configuration',
    draw: 'Draw a zone',
    drawHint: 'Click the corners on the plan, or write them: x, y; x, y; x, y in metres.',
    name: 'Name',
    corners: 'Corners',
    badCorners: 'Corners are pairs of numbers: x, y; x, y; x, y',
    store: 'Store',
    undo: 'Take back a corner',
    cancel: 'Cancel',
    remove: 'Remove',
    removeZone: (name: string) => `Remove zone ${name}`,
    configured: 'Sites and links are set in invispose.toml; zones there or here.',
    show: 'Show live',
  },

  system: {
    waiting: 'Waiting for the first answer …',
    status: 'Status',
    uptime: 'Up for',
    frames: 'Frames',
    framesUnit: '/s',
    latency: 'Processing',
    latencyUnit: 'ms',
    memory: 'Memory',
    memoryUnit: 'MB',
    persons: 'People, any confidence',
    routers: 'Active sources',
    device: 'Network runs on',
    gpu: 'GPU',
    issues: 'Issues',
    noIssues: 'No issues.',
    components: 'Parts',
    sources: 'Sources',
    noSources: 'No source is configured.',
    source: 'Source',
    kind: 'Kind',
    running: 'running',
    ended: 'ended',
    received: 'Received',
    accepted: 'Accepted',
    dropped: 'Dropped',
    siblings: 'Others',
    siblingsLong: 'Packets of the same protocol that hold no CSI',
    rejected: 'Rejected',
    lastPacket: 'Last packet',
    perSecond: (value: number) => `${short(value)}/s`,
    stages: 'Stages',
    stage: 'Stage',
    taken: 'Takes',
    given: 'Gives',
    busy: 'Busy',
    busyLong: 'Share of the last seconds spent working',
    queued: 'Queued',
    total: 'Total',
    stageLine: 'Way of a frame',
    plotFrames: 'Frames per second',
    plotLatency: 'Processing of a frame, ms',
    plotBusy: 'Busy share of each stage, %',
    here: 'Frames as this browser got them, last minute',
    received60: 'Received',
    processing: 'Last packet to finished frame',
    toBrowser: 'End of window to sent to this browser',
    toBrowserUnknown: 'only known for live sources',
    quantiles: 'median · 99 % · most',
    milliseconds: (values: number[]) => `${values.map((v) => v.toFixed(0)).join(' · ')} ms`,
    metrics: 'All figures as Prometheus text',
    histogram: 'Frames by processing time, ms',
  },

  explore: {
    title: 'Ask the API',
    intro: 'Everything here is also one GraphQL query. Take one of these into the editor, change it, run it.',
    open: 'Open in GraphiQL',
    blank: 'Open GraphiQL',
    copy: 'Copy',
    copied: 'Copied',
    run: 'Run here',
    close: 'Close the answer',
    answer: 'Answer',
    rest: 'REST',
    restIntro: 'The same for programs that speak plain HTTP.',
  },

  help: {
    title: 'Keys',
    open: 'Keys and help',
    close: 'Close',
    keys: [
      ['1 – 6', 'choose a view'],
      ['s', 'next site'],
      ['f', 'follow the next person, then the whole room'],
      ['0', 'back to the whole room'],
      ['← → ↑ ↓', 'turn the room (room focused)'],
      ['+ −', 'zoom (room focused)'],
      ['t', 'colours: as the system, dark, light'],
      ['?', 'this list'],
    ] as [string, string][],
  },
};
