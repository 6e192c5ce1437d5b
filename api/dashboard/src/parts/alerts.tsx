import { useState } from 'preact/hooks';
import { type Alert, acknowledge, alerts, name, resolve } from '../state/alerts';
import { site } from '../state/sites';
import { clock, texts } from '../texts';

const words = texts.alerts;

/** What somebody should look at, until somebody has. Nothing where there is nothing. */
export function Alerts() {
  const [problem, setProblem] = useState<string>();
  if (!alerts.value.length) return null;
  const settle = async (how: (id: string, by: string) => Promise<void>, id: string) => {
    try {
      setProblem(undefined);
      await how(id, name.value.trim());
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  const nobody = !name.value.trim();
  return (
    <section class="panel alerts">
      <h2>{words.title}</h2>
      <ul aria-label={words.title}>
        {alerts.value.map((alert) => (
          <li key={alert.id} data-status={alert.status} data-rule={alert.ruleId} class={`severity-${alert.severity.toLowerCase()}`}>
            <p><b>{words.severities[alert.severity]}</b> {sentence(alert)}</p>
            <p class="hint">{words.since(clock(alert.openedAt).slice(0, 8), alert.events)}{alert.acknowledged && ` · ${words.seen(alert.acknowledged.by ?? '?')}`}</p>
            <p class="row">
              {alert.status === 'OPEN' && <button type="button" class="acknowledge" disabled={nobody} onClick={() => void settle(acknowledge, alert.id)}>{words.acknowledge}</button>}
              <button type="button" class="resolve" disabled={nobody} onClick={() => void settle(resolve, alert.id)}>{words.resolve}</button>
            </p>
          </li>
        ))}
      </ul>
      <label class="row">{words.name} <input type="text" name="by" maxLength={200} value={name.value} onInput={(e) => { name.value = e.currentTarget.value; }} /></label>
      {problem && <p class="problem" role="alert">{problem}</p>}
    </section>
  );
}

function sentence({ ruleId, zoneId, personId, subject }: Alert): string {
  const zone = zoneId === null ? null : (site.value?.zones.find((z) => z.id === zoneId)?.name ?? zoneId);
  return [ruleId, personId !== null && texts.scene.person(personId), zone, subject].filter(Boolean).join(' · ');
}
