import { useEffect, useState } from 'preact/hooks';
import { ask } from '../api/client';
import { Models as Query, type ModelsQuery } from '../api/generated';
import { number, texts } from '../texts';
import { Words } from './words';

const words = texts.models;
type Model = ModelsQuery['models'][number];
type Card = NonNullable<Model['card']>;
type Evaluation = Card['evaluations'][number];

/** Which networks look at which sites, and how good they were found to be. */
export function Models() {
  const [models, setModels] = useState<Model[]>();
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    let gone = false;
    ask(Query, {}).then(
      (found) => { if (!gone) setModels(found.models); },
      (error: unknown) => { if (!gone) setProblem(error instanceof Error ? error.message : String(error)); },
    );
    return () => { gone = true; };
  }, []);
  return (
    <section class="panel models">
      <h2>{words.title}</h2>
      {problem !== undefined && <p class="problem" role="alert">{problem}</p>}
      {models?.length === 0 && <p><Words of={words.none} /></p>}
      {models?.map((model) => <One key={model.name} model={model} />)}
      <p class="hint"><Words of={words.choice} /></p>
    </section>
  );
}

function One({ model: { name, sites, card } }: { model: Model }) {
  return (
    <article>
      <h3>{name}</h3>
      <ul class="where">
        {sites.map(({ siteId, source, calibrated, experimental }) => (
          <li key={siteId}>
            <code>{siteId}</code> <span class={`badge ${source.toLowerCase()}`}>{texts.sources[source]}</span>{' '}
            {experimental && <span class="badge experimental" title={texts.experimentalLong}>{texts.experimental}</span>}{' '}
            <span class="mark" title={calibrated ? texts.calibratedLong : texts.uncalibratedLong}>{calibrated ? texts.calibrated : texts.uncalibrated}</span>
          </li>
        ))}
      </ul>
      {card ? <Report name={name} card={card} /> : <p>{words.noCard}</p>}
    </article>
  );
}

const metres = (mm: number | null) => (mm === null ? texts.missing : words.metres(mm / 1000));

function Report({ name, card }: { name: string; card: Card }) {
  return (
    <>
      <p>{words.about(number(card.parameters), number(card.persons), card.trainedOn, number(card.windows))} {words.commit} <code>{card.commit.slice(0, 10)}</code></p>
      {card.evaluations.length > 0 && (
        <div class="wide" tabIndex={0} role="region" aria-label={`${words.report}: ${name}`}>
          <table>
            <caption>{words.report}</caption>
            <thead>
              <tr>
                <th scope="col">{words.room}</th>
                <th scope="col" class="n">{words.people}</th>
                <th scope="col" class="n" title={words.foundLong}>{words.found}</th>
                <th scope="col" class="n" title={words.jointsLong}>{words.joints}</th>
                <th scope="col" class="n" title={words.poseLong}>{words.pose}</th>
                <th scope="col" class="n" title={words.ghostsLong}>{words.ghosts}</th>
                <th scope="col">{words.verdict}</th>
              </tr>
            </thead>
            <tbody>{card.evaluations.map((e) => <Row key={`${e.seenRoom} ${e.people}`} of={e} />)}</tbody>
          </table>
        </div>
      )}
      <p class="hint">{words.beside}</p>
    </>
  );
}

function Row({ of }: { of: Evaluation }) {
  return (
    <tr data-beats={of.beatsMean}>
      <th scope="row">{of.seenRoom ? words.seen : words.unseen}</th>
      <td class="n">{number(of.people)}</td>
      <td class="n">{of.recall === null ? texts.missing : `${number(of.recall * 100)} %`}</td>
      <td class="n">{metres(of.mpjpeMm)} <small>({metres(of.meanPositionMpjpeMm)})</small></td>
      <td class="n">{metres(of.rootRelativeMm)} <small>({metres(of.meanPoseRootRelativeMm)})</small></td>
      <td class="n">{of.falsePersonsPerHour === null ? texts.missing : number(of.falsePersonsPerHour)}</td>
      <td class={of.beatsMean ? '' : 'warn'}>{of.beatsMean ? words.better : words.notBetter}</td>
    </tr>
  );
}
