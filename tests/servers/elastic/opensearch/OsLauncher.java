// SPDX-License-Identifier: Apache-2.0
import java.util.concurrent.CountDownLatch;

import org.codelibs.opensearch.runner.OpenSearchRunner;

/**
 * Runs one real OpenSearch node with the modules on the class path.
 * Usage: OsLauncher CONFIGDIR DATADIR LOGSDIR BASEDIR. Settings: CONFIGDIR/opensearch.yml and log4j2.properties.
 */
public class OsLauncher {
    public static void main(String[] args) throws Exception {
        String host = System.getProperty("node.host");
        String port = System.getProperty("node.port");
        OpenSearchRunner runner = new OpenSearchRunner();
        CountDownLatch closed = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                runner.close();
            } catch (Exception e) {
                e.printStackTrace();
            } finally {
                closed.countDown();
            }
        }, "node-shutdown"));
        runner.setMaxHttpPort(65535);
        try {
            runner.onBuild((number, settings) -> {
                settings.put("cluster.name", "tests");
                settings.put("node.name", "node-1");
                settings.put("network.host", host);
                settings.put("http.port", port);
                settings.put("transport.port", "0");
                settings.put("discovery.type", "single-node");
                settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
                settings.putList("node.roles", "cluster_manager", "data", "ingest");
            }).build(
                new String[] {
                    "-basePath", args[3], "-confPath", args[0], "-dataPath", args[1], "-logsPath", args[2],
                    "-numOfNode", "1", "-baseHttpPort", port, "-disableESLogger" }
            );
        } catch (Throwable t) {
            t.printStackTrace();
            System.exit(1);
        }
        closed.await();
    }
}
