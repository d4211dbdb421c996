// Validates objects of kinds that are not Kubernetes' own: an array of them on standard input, one fault a line on standard
// output.
import * as envoyGateway from "@kubernetes-models/envoy-gateway/gateway.envoyproxy.io/v1alpha1";
import * as gatewayApi from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1";
import * as istio from "@kubernetes-models/istio/networking.istio.io/v1";
import { EnvoyFilter } from "@kubernetes-models/istio/networking.istio.io/v1alpha3";
import * as prometheus from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const kinds = [envoyGateway, gatewayApi, istio, prometheus, { EnvoyFilter }].flatMap(Object.values);
let input = "";
for await (const chunk of process.stdin) input += chunk;
for (const object of JSON.parse(input)) {
  const kind = kinds.find((kind) => kind.apiVersion === object.apiVersion && kind.kind === object.kind);
  try {
    if (!kind) throw new Error(`no such kind: ${object.apiVersion}`);
    new kind(object).validate();
  } catch (fault) {
    console.log(`${object.kind} ${object.metadata?.name}: ${fault.message}`);
  }
}
