"""The load of `benches/benches/requests.rs` on FastAPI and uvicorn: the contract's models, the same frames, all in memory.

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/uvicorn server:app --port 8000 --no-access-log &
    cargo bench -p invispose-benches --bench requests -- --connect 127.0.0.1:8000 --pid $!
"""

import asyncio
import bisect
import datetime
from contextlib import asynccontextmanager
from typing import Any, Dict, List, Optional

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, Field

FPS = 20
KEPT = 4096
NAMES = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
).split()


class Keypoint(BaseModel):
    id: int
    x: float
    y: float
    confidence: float
    name: str


class Person(BaseModel):
    id: str
    keypoints: List[Keypoint]
    confidence: float
    bounding_box: Dict[str, float]
    activity: Optional[str] = None
    zone_id: Optional[str] = None


class PoseFrame(BaseModel):
    timestamp: datetime.datetime
    frame_id: int
    persons: List[Person]
    processing_time_ms: float
    metadata: Dict[str, Any] = Field(default_factory=dict)


def person(number: int, n: int) -> Person:
    x = 1 + ((n + 7 * number) % 100) / 37
    joints = [(x + 0.013 * i, 1.75 - 0.1 * i) for i in range(17)]
    points = [(round(px / 6, 4), round(1 - pz / 2.7, 4)) for px, pz in joints]
    keypoints = [
        Keypoint(id=i, x=px, y=py, confidence=0.917, name=NAMES[i]) for i, (px, py) in enumerate(points)
    ]
    left, top = min(p[0] for p in points), min(p[1] for p in points)
    box = {
        "x": left,
        "y": top,
        "width": round(max(p[0] for p in points) - left, 4),
        "height": round(max(p[1] for p in points) - top, 4),
    }
    return Person(id=str(number), keypoints=keypoints, confidence=0.93, bounding_box=box, activity="walking")


frames: List[PoseFrame] = []


async def publish() -> None:
    number = 0
    while True:
        number += 1
        frames.append(
            PoseFrame(
                timestamp=datetime.datetime.now(datetime.timezone.utc),
                frame_id=number,
                persons=[person(1, number), person(2, number)],
                processing_time_ms=1.5,
                metadata={"site_id": "lab", "source": "simulated", "model": "bench"},
            )
        )
        del frames[:-KEPT]
        await asyncio.sleep(1 / FPS)


@asynccontextmanager
async def lifespan(_: FastAPI):
    task = asyncio.create_task(publish())
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/api/v1/pose/current", response_model=PoseFrame)
async def current(zone_id: Optional[str] = None, min_confidence: float = Query(0.5)):
    if not frames:
        raise HTTPException(status_code=404, detail="No pose data available")
    frame = frames[-1].model_copy()
    if zone_id:
        frame.persons = [p for p in frame.persons if p.zone_id == zone_id]
    if min_confidence > 0:
        frame.persons = [p for p in frame.persons if p.confidence >= min_confidence]
    return frame


@app.get("/api/v1/pose/history", response_model=List[PoseFrame])
async def history(
    start_time: datetime.datetime,
    end_time: datetime.datetime,
    person_id: Optional[str] = None,
    limit: int = Query(100, le=1000),
    skip: int = 0,
):
    first = bisect.bisect_left(frames, start_time, key=lambda f: f.timestamp)
    last = bisect.bisect_left(frames, end_time, key=lambda f: f.timestamp)
    found = frames[first:last]
    if person_id:
        found = [f for f in found if any(p.id == person_id for p in f.persons)]
    return found[skip : skip + limit]
