// The load of `bench experiments --by=k6`: requests at a fixed rate, whether or
// not answers come. It also runs by itself:
//
//   k6 run -e URL=http://127.0.0.1:8080/ -e RATE=250 -e TIME=10s bench/k6/experiment.js
import http from "k6/http";

export const options = {
  scenarios: {
    load: {
      executor: "constant-arrival-rate",
      rate: Number(__ENV.RATE || 250),
      timeUnit: "1s",
      duration: __ENV.TIME || "3s",
      preAllocatedVUs: 50,
      maxVUs: 2000,
    },
  },
  summaryTrendStats: ["med", "p(95)", "p(99)", "max"],
};

export default function () {
  http.get(__ENV.URL, { timeout: "10s" });
}
