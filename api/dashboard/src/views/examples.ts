// Queries for analysts, each complete as it stands.

/** The examples, asking about one site. */
export function examples(site: string): { title: string; purpose: string; query: string }[] {
  const id = JSON.stringify(site);
  return [
    {
      title: 'Who is there now',
      purpose: 'The newest frame, on what it rests, and everybody in it.',
      query: `query Now {
  currentFrame(siteId: ${id}) {
    id
    time
    stale
    provenance { source model calibrated experimental }
    presence { present motionLevel }
    persons {
      id
      confidence
      activity
      zone { name }
      positionM { x y }
    }
  }
}`,
    },
    {
      title: 'Live people',
      purpose: 'The same as a stream, at most five frames per second.',
      query: `subscription People {
  poseFrames(siteId: ${id}, maxFps: 5) {
    id
    time
    provenance { source }
    persons {
      id
      activity
      zone { name }
      positionM { x y }
      velocityMS { x y }
    }
  }
}`,
    },
    {
      title: 'Live skeletons',
      purpose: 'All joints in metres, for drawing.',
      query: `subscription Skeletons {
  poseFrames(siteId: ${id}, maxFps: 10) {
    id
    persons {
      id
      keypoints { name confidence positionM { x y z } }
    }
  }
}`,
    },
    {
      title: 'Occupancy of every zone',
      purpose: 'How many people are where; null where nothing shows the present.',
      query: `query Occupancy {
  sites {
    name
    zones { name occupancy(minConfidence: 0.7) }
  }
}`,
    },
    {
      title: 'The recent past',
      purpose: 'The newest hundred frames, a page at a time: pass startCursor as "before" for older ones.',
      query: `query Past {
  frames(siteId: ${id}, last: 100, minConfidence: 0.5) {
    pageInfo { hasPreviousPage startCursor }
    nodes {
      id
      time
      presence { present motionLevel }
      persons { id activity positionM { x y } }
    }
  }
}`,
    },
    {
      title: 'Occupancy by the hour',
      purpose: 'The last day of the site (zoneId null) and of its zones, from sums that are kept for good.',
      query: `query Hours {
  activity(siteId: ${id}, intervalMinutes: 60) {
    start
    zoneId
    meanOccupancy
    maxOccupancy
    occupied
    activities { activity share }
  }
}`,
    },
    {
      title: 'Who came and went',
      purpose: 'Events of the last day; kind: "person.left_zone" gives stays with their length as evidence.',
      query: `query Events {
  events(siteId: ${id}, first: 50) {
    edges { node { time kind personId zoneId evidence } }
    pageInfo { hasNextPage endCursor }
  }
}`,
    },
    {
      title: 'Does it keep up?',
      purpose: 'Every packet accounted for, and how busy the stages are.',
      query: `query System {
  system {
    status
    currentFps
    averageLatencyMs
    health { issues }
    sources {
      uri
      kind
      received
      accepted
      dropped
      siblings
      rejected { reason count }
    }
    stages { name taken given queued busySeconds }
  }
}`,
    },
  ];
}
