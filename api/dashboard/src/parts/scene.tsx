import { useSignalEffect } from '@preact/signals';
import { type ReadonlySignal, type Signal, signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Stage } from '../scene/stage';
import type { Frame } from '../state/live';
import type { Site } from '../state/sites';
import { dark } from '../state/theme';
import { texts } from '../texts';

/** What the room shows; one choice for all rooms. */
export const options = { trails: signal(true), links: signal(true), zones: signal(true) };

declare global {
  interface Window {
    /** What the scene draws, for tests: site coordinates in metres. */
    invisposeScene?: Stage;
  }
}

interface Props {
  site: ReadonlySignal<Site | undefined>;
  frame: ReadonlySignal<Frame | null>;
  trails: ReadonlyMap<string, { x: number; y: number }[]>;
  followed: Signal<string | null>;
}

/** The room in three dimensions. three.js is loaded when the first one is shown. */
export function SceneView({ site, frame, trails, followed }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const overlay = useRef<HTMLDivElement>(null);
  const stage = useRef(signal<Stage | null>(null)).current;
  const [failed, setFailed] = useState(false);

  useEffect(() => {
    let gone = false;
    void import('../scene/stage').then(({ Stage }) => {
      if (gone || !host.current || !overlay.current) return;
      try {
        stage.value = new Stage(host.current, overlay.current);
        window.invisposeScene = stage.value;
      } catch {
        setFailed(true);
      }
    });
    return () => {
      gone = true;
      stage.value?.dispose();
      stage.value = null;
      delete window.invisposeScene;
    };
  }, []);

  useSignalEffect(() => {
    const place = site.value;
    // Colours are read anew from the style sheet.
    void dark.value;
    if (place) stage.value?.setSite(place, { links: options.links.value, zones: options.zones.value });
  });
  useSignalEffect(() => stage.value?.setFrame(frame.value, trails, options.trails.value));
  useSignalEffect(() => stage.value?.follow(followed.value));

  const keys = (event: KeyboardEvent) => {
    const turns: Record<string, [number, number, number]> = {
      ArrowLeft: [-0.12, 0, 1], ArrowRight: [0.12, 0, 1], ArrowUp: [0, 0.08, 1], ArrowDown: [0, -0.08, 1],
      '+': [0, 0, 0.88], '=': [0, 0, 0.88], '-': [0, 0, 1.14],
    };
    const turn = turns[event.key];
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (turn) stage.value?.turn(...turn);
    else if (event.key === '0') { followed.value = null; stage.value?.reset(); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  return (
    <div class="stage" tabIndex={0} role="application" aria-label={texts.scene.label} onKeyDown={keys}>
      <div class="canvas" ref={host} aria-hidden="true" />
      <div class="labels" ref={overlay} aria-hidden="true" />
      {failed && <p class="notice">{texts.scene.noWebgl}</p>}
    </div>
  );
}
