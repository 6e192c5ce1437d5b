// Camera, light and what stands in the room. Draws when something changed, not all the time.
import { AmbientLight, DirectionalLight, Group, PerspectiveCamera, Scene, Spherical, Vector3, WebGLRenderer } from 'three';
import { OrbitControls } from 'three/addons/controls/OrbitControls.js';
import { personColour } from '../parts/palette';
import type { Frame } from '../state/live';
import type { Site } from '../state/sites';
import { texts } from '../texts';
import { Room, type Shown } from './room';
import { Skeleton } from './skeleton';

type Trails = ReadonlyMap<string, { x: number; y: number }[]>;

export class Stage {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(42, 1, 0.05, 200);
  private readonly controls: OrbitControls;
  /** Holds site coordinates: z up there is y up here. */
  private readonly world = new Group();
  private readonly people = new Map<string, Skeleton>();
  private readonly labels = new Map<string, HTMLElement>();
  private readonly sizes: ResizeObserver;
  private room: Room | null = null;
  private site: Site | null = null;
  private frame: Frame | null = null;
  private followed: string | null = null;
  private pending = 0;
  /** Of the picture, in pixels of the page. */
  private size = { width: 0, height: 0 };
  /** Frames drawn so far. */
  drawn = 0;

  /** Fails where the browser offers no WebGL. */
  constructor(private readonly host: HTMLElement, private readonly overlay: HTMLElement) {
    this.renderer = new WebGLRenderer({ antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    host.append(this.renderer.domElement);
    this.world.rotation.x = -Math.PI / 2;
    const sun = new DirectionalLight('#ffffff', 1.6);
    sun.position.set(3, 8, 5);
    this.scene.add(this.world, new AmbientLight('#ffffff', 1.1), sun);
    this.controls = new OrbitControls(this.camera, this.renderer.domElement);
    this.controls.maxPolarAngle = Math.PI * 0.495;
    this.controls.minDistance = 1;
    this.controls.addEventListener('change', () => this.draw());
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(host);
  }

  /** Builds the room anew; the camera stays where it is unless the site is another one. */
  setSite(site: Site, shown: Shown): void {
    const other = this.site?.id !== site.id;
    this.site = site;
    if (this.room) {
      this.world.remove(this.room.group);
      this.room.dispose();
    }
    this.room = new Room(site, shown);
    this.world.add(this.room.group);
    for (const [key, element] of this.labels) if (!key.startsWith('person')) { element.remove(); this.labels.delete(key); }
    if (other) this.reset();
    this.draw();
  }

  setFrame(frame: Frame | null, trails: Trails, trailsShown: boolean): void {
    this.frame = frame;
    const present = new Set(frame?.persons.map((p) => p.id));
    for (const [id, skeleton] of this.people) {
      if (present.has(id)) continue;
      this.world.remove(skeleton.group);
      skeleton.dispose();
      this.people.delete(id);
      this.labels.get(`person ${id}`)?.remove();
      this.labels.delete(`person ${id}`);
    }
    for (const person of frame?.persons ?? []) {
      let skeleton = this.people.get(person.id);
      if (!skeleton) {
        skeleton = new Skeleton(personColour(person.id));
        this.people.set(person.id, skeleton);
        this.world.add(skeleton.group);
      }
      skeleton.show(person);
      skeleton.walked(trails.get(person.id) ?? [], trailsShown);
    }
    this.room?.motion(frame?.presence?.motionLevel ?? null);
    this.draw();
  }

  /** The camera goes with this person; with nobody, back to the whole room. */
  follow(id: string | null): void {
    if (this.followed === id) return;
    this.followed = id;
    if (id === null) this.reset();
    this.draw();
  }

  reset(): void {
    if (!this.site) return;
    const { x, y, z } = this.site.roomM;
    const corners = [0, x].flatMap((cx) => [0, y].flatMap((cy) => [0, z].map((cz) => new Vector3(cx, cz, -cy))));
    this.controls.target.set(x / 2, z * 0.36, -y / 2);
    // As near as shows the whole room.
    let [near, far] = [0, 20 * Math.max(x, y, z)];
    for (let i = 0; i < 20; i += 1) {
      const reach = (near + far) / 2;
      this.camera.position.copy(this.controls.target).add(new Vector3().setFromSpherical(new Spherical(reach, 1.05, 0.4)));
      this.camera.lookAt(this.controls.target);
      this.camera.updateMatrixWorld();
      const whole = corners.every((corner) => {
        const seen = corner.clone().project(this.camera);
        return Math.abs(seen.x) < 0.94 && Math.abs(seen.y) < 0.86 && seen.z < 1;
      });
      if (whole) far = reach;
      else near = reach;
    }
    this.controls.update();
    this.draw();
  }

  /** Turns by radians around the room and up, and zooms by a factor. */
  turn(around: number, up: number, zoom: number): void {
    const from = this.camera.position.clone().sub(this.controls.target);
    const at = new Spherical().setFromVector3(from);
    at.theta += around;
    at.phi = Math.min(this.controls.maxPolarAngle, Math.max(0.05, at.phi - up));
    at.radius = Math.max(this.controls.minDistance, at.radius * zoom);
    this.camera.position.copy(this.controls.target).add(from.setFromSpherical(at));
    this.controls.update();
    this.draw();
  }

  /** What is drawn, read back from the scene: site coordinates in metres. */
  read(): { frame: string | null; time: string | null; persons: Record<string, { x: number; y: number; z: number }[]> } {
    const persons: Record<string, { x: number; y: number; z: number }[]> = {};
    this.world.updateMatrixWorld(true);
    for (const [id, skeleton] of this.people) {
      persons[id] = skeleton.places().map((place) => {
        const { x, y, z } = this.world.worldToLocal(place);
        return { x, y, z };
      });
    }
    return { frame: this.frame?.id ?? null, time: this.frame?.time ?? null, persons };
  }

  dispose(): void {
    cancelAnimationFrame(this.pending);
    this.sizes.disconnect();
    this.controls.dispose();
    for (const skeleton of this.people.values()) skeleton.dispose();
    this.room?.dispose();
    this.renderer.dispose();
    this.renderer.domElement.remove();
    for (const element of this.labels.values()) element.remove();
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (!width || !height) return;
    this.size = { width, height };
    const first = this.camera.aspect === 1;
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.renderer.setSize(width, height);
    if (first) this.reset();
    this.draw();
  }

  private draw(): void {
    this.pending ||= requestAnimationFrame(() => {
      this.pending = 0;
      this.keepUp();
      this.renderer.render(this.scene, this.camera);
      this.drawn += 1;
      this.write();
    });
  }

  private keepUp(): void {
    const skeleton = this.followed === null ? undefined : this.people.get(this.followed);
    if (!skeleton) return;
    const goal = this.world.localToWorld(skeleton.spot.position.clone()).setY(0.9);
    const step = goal.sub(this.controls.target).multiplyScalar(0.15);
    this.controls.target.add(step);
    this.camera.position.add(step);
    this.camera.lookAt(this.controls.target);
  }

  /** Names beside what they name. */
  private write(): void {
    for (const { text, at, kind } of this.room?.labels ?? []) this.label(`${kind} ${text}`, text, at, kind);
    for (const [id, skeleton] of this.people) this.label(`person ${id}`, texts.scene.person(id), skeleton.top(), 'person', personColour(id));
  }

  private label(key: string, text: string, at: Vector3, kind: string, tint?: string): void {
    let element = this.labels.get(key);
    if (!element) {
      element = document.createElement('span');
      element.className = `label ${kind}`;
      element.textContent = text;
      if (tint) element.style.setProperty('--tint', tint);
      this.overlay.append(element);
      this.labels.set(key, element);
    }
    const seen = this.world.localToWorld(at.clone()).project(this.camera);
    const x = ((seen.x + 1) / 2) * this.size.width;
    const y = ((1 - seen.y) / 2) * this.size.height;
    element.style.transform = `translate(-50%, -50%) translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
    element.style.visibility = seen.z < 1 ? 'visible' : 'hidden';
  }
}
