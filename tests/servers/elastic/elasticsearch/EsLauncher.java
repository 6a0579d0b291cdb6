// SPDX-License-Identifier: Apache-2.0
import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginBundle;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * Runs one real Elasticsearch node from the server jar on the class path. It skips the distribution's bootstrap
 * (server-cli, entitlements, seccomp, bootstrap checks, refusal to run as root) and the module path.
 *
 * Usage: EsLauncher HOME CONFIG. Modules come from HOME/modules/NAME (jars plus plugin-descriptor.properties
 * without modulename), settings from CONFIG/elasticsearch.yml.
 */
public class EsLauncher {
    public static void main(String[] args) throws Exception {
        Path home = Path.of(args[0]).toAbsolutePath();
        Path config = Path.of(args[1]).toAbsolutePath();
        LogConfigurator.setNodeName("node-1");
        LogConfigurator.configureESLogging(); // before any ES class that logs through org.elasticsearch.logging
        Settings settings = Settings.builder().put("path.home", home.toString()).build();
        Environment env = InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), config, () -> "node-1");
        // The last argument leaves out the exports from the named server module, which a class path does not have.
        PluginsLoader loader = PluginsLoader.createPluginsLoader(modules(home.resolve("modules")), Set.of(), Map.of(), false);
        CountDownLatch closed = new CountDownLatch(1);
        try {
            Node node = new Node(env, loader);
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                try {
                    node.prepareForClose();
                    node.close();
                    node.awaitClose(20, TimeUnit.SECONDS);
                } catch (Exception e) {
                    e.printStackTrace();
                } finally {
                    closed.countDown();
                }
            }, "node-shutdown"));
            node.start();
        } catch (Throwable t) {
            t.printStackTrace();
            System.exit(1);
        }
        closed.await();
    }

    /** loadModulesBundles(Path) in 8.19 and early 9.x, loadModulesBundles(Path, boolean) in 9.5. */
    @SuppressWarnings("unchecked")
    private static Set<PluginBundle> modules(Path dir) throws Exception {
        for (Method m : PluginsLoader.class.getMethods()) {
            if (m.getName().equals("loadModulesBundles")) {
                return (Set<PluginBundle>) (m.getParameterCount() == 1 ? m.invoke(null, dir) : m.invoke(null, dir, false));
            }
        }
        throw new IllegalStateException("no PluginsLoader.loadModulesBundles");
    }
}
