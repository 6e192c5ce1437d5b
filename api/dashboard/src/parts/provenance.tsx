import { age, frame, old } from '../state/live';
import { clock, texts } from '../texts';

/** On what the shown frame rests; always visible. */
export function Provenance() {
  const newest = frame.value;
  if (!newest) return <div class="provenance" data-source="none"><span class="badge none" title={texts.noSourceLong}>{texts.noSource}</span></div>;
  const { source, model, calibrated, experimental } = newest.provenance;
  return (
    <div class="provenance" data-source={source} role="group" aria-label={texts.provenance}>
      <span class={`badge ${source.toLowerCase()}`} title={texts.sourcesLong[source]}>{texts.sources[source]}</span>
      {experimental && <span class="badge experimental" title={texts.experimentalLong}>{texts.experimental}</span>}
      <span class="mark" title={model === null ? texts.noModelLong : texts.modelLong}>{model ?? texts.noModel}</span>
      {model !== null && (
        <span class="mark" title={calibrated ? texts.calibratedLong : texts.uncalibratedLong}>
          {calibrated ? texts.calibrated : texts.uncalibrated}
        </span>
      )}
      {old.value && <Age />}
    </div>
  );
}

/** How old the shown frame is. */
export function Age() {
  const newest = frame.value;
  if (!newest) return null;
  const ms = age.value;
  return (
    <span class="badge old" title={texts.old.explanation}>
      {ms === null ? texts.old.ageUnknown(clock(newest.time)) : texts.old.age(ms / 1000)}
    </span>
  );
}
